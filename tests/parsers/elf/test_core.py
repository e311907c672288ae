from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.elf import core as core_parser
from parsers.elf import notes
from parsers.errors import ParseError, Truncated, Unsupported
from tests.build.core import CoreBuilder


def sample() -> CoreBuilder:
    return (
        CoreBuilder()
        .thread(4711, rip=0x401136, rsp=0x7FFC0010, rbp=0x7FFC0020, fs_base=0x1234)
        .process(4711, b"checkout", b"checkout --port 80")
        .siginfo(11, 1, 0x18)
        .files((0x400000, 0x401000, 0, "/opt/a"), (0x401000, 0x402000, 0x1000, "/opt/a"))
        .thread(4712, rip=0x401200, rsp=0x7FFB0000)
        .memory(0x7FFC0000, bytes(range(64)))
        .memory(0x400000, b"", flags=5, size=0x2000)
    )


def test_threads_registers_and_process() -> None:
    core = core_parser.parse(sample().bytes())
    assert [thread.tid for thread in core.threads] == [4711, 4712]
    assert core.threads[0].registers["rip"] == 0x401136
    assert core.threads[0].registers["rsp"] == 0x7FFC0010
    assert core.threads[0].registers["fs_base"] == 0x1234
    assert core.process is not None
    assert (core.process.pid, core.process.uid, core.process.command) == (4711, 1000, "checkout")
    assert core.process.arguments == "checkout --port 80"
    assert core.signal is not None
    assert (core.signal.number, core.signal.code, core.signal.address) == (11, 1, 0x18)
    assert core.files[1] == notes.MappedFile(0x401000, 0x402000, 0x1000, "/opt/a")
    assert not core.truncated


def test_segments_are_sorted_and_tell_what_was_dumped() -> None:
    core = core_parser.parse(sample().bytes())
    assert [(segment.start, segment.dumped, segment.permissions) for segment in core.segments] == [
        (0x400000, 0, "r-x"),
        (0x7FFC0000, 64, "rw-"),
    ]


def test_a_cut_segment_is_clipped_and_counted() -> None:
    whole = sample().bytes()
    core = core_parser.parse(whole[:-40])
    assert core.truncated
    assert core.lost == 40
    assert core.segments[1].dumped == 24


def test_every_cut_gives_a_core_or_a_parse_error() -> None:
    whole = sample().bytes()
    for length in range(len(whole)):
        try:
            core = core_parser.parse(whole[:length])
        except ParseError:
            assert length < 64
        else:
            assert core.truncated, length


def test_extended_numbering() -> None:
    """PN_XNUM: e_phnum is 0xffff and the real count is sh_info of section header 0."""
    data = bytearray(sample().bytes())
    struct.pack_into("<H", data, 56, 0xFFFF)
    struct.pack_into("<Q", data, 40, len(data))
    struct.pack_into("<H", data, 58, 64)
    data += struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 1, 0, 3, 0, 0)
    core = core_parser.parse(bytes(data))
    assert len(core.segments) == 2
    assert len(core.threads) == 2


def test_extended_numbering_with_the_section_header_cut_off_keeps_threads() -> None:
    data = bytearray(sample().bytes())
    struct.pack_into("<H", data, 56, 0xFFFF)
    struct.pack_into("<Q", data, 40, len(data) + 999)
    core = core_parser.parse(bytes(data))
    assert [thread.tid for thread in core.threads] == [4711, 4712]
    assert core.truncated


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data: data[:10], Truncated),
        (lambda data: b"text file\n" * 20, ParseError),
        (lambda data: data[:4] + b"\x01" + data[5:], Unsupported),
        (lambda data: data[:5] + b"\x02" + data[6:], Unsupported),
        (lambda data: data[:18] + b"\xf3\x00" + data[20:], Unsupported),
        (lambda data: data[:16] + b"\x03\x00" + data[18:], ParseError),
    ],
    ids=["short", "text", "32-bit", "big-endian", "riscv", "shared object"],
)
def test_what_is_no_core_is_refused_with_a_hint(change, error) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error) as caught:
        core_parser.parse(change(sample().bytes()))
    assert caught.value.hint


@given(st.binary(max_size=600), st.integers(0, 400))
def test_damage_never_raises_anything_else(noise: bytes, at: int) -> None:
    data = bytearray(sample().bytes())
    data[at : at + len(noise)] = noise
    try:
        core_parser.parse(bytes(data))
    except ParseError as error:
        assert str(error)


@given(st.binary(max_size=200))
def test_siginfo_of_any_bytes(raw: bytes) -> None:
    info = notes.signal_info(raw)
    assert (info is None) == (len(raw) < 32)
