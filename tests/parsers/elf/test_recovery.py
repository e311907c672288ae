"""Damaged headers of a core: what can be told from the rest of the file is set right and said."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from parsers.elf import core as core_parser
from parsers.elf import notes, recovery
from parsers.limits import Limits
from tests.build.core import CoreBuilder

if TYPE_CHECKING:
    from parsers.elf.core import Core

ROWS = ((0x400000, 0x401000, 0, "/opt/a"),)
NOTES = 64 + 3 * 56
"""Where the notes of `whole` begin."""
HEADER, STATUS, INFO, SIGINFO = 12 + 8, 336, 136, 128


def whole() -> bytearray:
    builder = CoreBuilder().thread(4711, rip=0x401136).process(4711, b"a", b"a --port 80").siginfo(11, 1, 0x18)
    builder.files(*ROWS).note(notes.NT_X86_XSTATE, bytes(832), b"LINUX\0").thread(4712, rip=0x401200)
    return bytearray(builder.memory(0x7FFC0000, bytes(64)).memory(0x400000, b"", flags=5, size=0x2000).bytes())


def put(data: bytearray, form: str, offset: int, value: int) -> None:
    struct.pack_into(form, data, offset, value)


def complete(core: Core) -> bool:
    """Whether all facts of `whole` are there."""
    return (
        [thread.tid for thread in core.threads] == [4711, 4712]
        and core.threads[0].registers["rip"] == 0x401136
        and core.process is not None
        and core.signal is not None
        and core.signal.address == 0x18
        and [row.path for row in core.files] == ["/opt/a"]
        and len(core.segments) == 2
    )


def test_a_whole_core_is_not_damaged() -> None:
    core = core_parser.parse(bytes(whole()))
    assert complete(core)
    assert core.damage == ()
    assert not core.truncated


@pytest.mark.parametrize(
    ("form", "offset", "value", "word"),
    [
        ("<Q", 32, 0x1234567, "e_phoff"),
        ("<Q", 32, 0, "e_phoff"),
        ("<Q", 32, (1 << 64) - 8, "e_phoff"),
        ("<H", 54, 57, "e_phentsize"),
        ("<H", 54, 0, "e_phentsize"),
        ("<H", 56, 0, "e_phnum"),
        ("<H", 56, 1, "e_phnum"),
        ("<I", 64, 0x70000000, "no program header leads to the notes"),
        ("<Q", 64 + 8, 0x7FFFFFFF, "no program header leads to the notes"),
        ("<Q", 64 + 32, 0, "no program header leads to the notes"),
    ],
)
def test_a_wrong_header_is_set_right(form: str, offset: int, value: int, word: str) -> None:
    data = whole()
    put(data, form, offset, value)
    core = core_parser.parse(bytes(data))
    assert complete(core)
    assert word in core.damage[0]


FIRST = NOTES
SECOND = FIRST + HEADER + STATUS
THIRD = SECOND + HEADER + INFO
FOURTH = THIRD + HEADER + SIGINFO


@pytest.mark.parametrize("note", [FIRST, SECOND, THIRD, FOURTH])
@pytest.mark.parametrize("place", [0, 4])
@pytest.mark.parametrize("value", [0, 1, 7, 64, 4096, 0x7FFFFFFF, 0xFFFFFFFF])
def test_wrong_sizes_of_a_note_cost_nothing_else(note: int, place: int, value: int) -> None:
    data = whole()
    put(data, "<I", note + place, value)
    assert complete(core_parser.parse(bytes(data)))


@pytest.mark.parametrize("note", [FIRST, SECOND, THIRD, FOURTH])
def test_a_note_whose_name_is_damaged(note: int) -> None:
    data = whole()
    data[note + 12 : note + 17] = b"\xff\x00\x01\x02\x03"
    assert complete(core_parser.parse(bytes(data)))


def test_a_status_whose_type_is_damaged() -> None:
    data = whole()
    put(data, "<I", FIRST + 8, 0x1001)
    core = core_parser.parse(bytes(data))
    assert complete(core)
    assert core.damage[0].startswith("the type of the note")


def test_an_auxiliary_vector_is_no_thread() -> None:
    """It may have as many bytes as a status."""
    builder = CoreBuilder().thread(1).process(1, b"a", b"a").note(0x1006, struct.pack("<QQ", 3, 64) * 21)
    assert [thread.tid for thread in core_parser.parse(builder.bytes()).threads] == [1]


def test_notes_of_others_are_passed_over() -> None:
    builder = CoreBuilder().thread(1).note(0, bytes(440), b"GDB\0").note(7, b"", b"stapsdt\0").thread(2)
    core = core_parser.parse(builder.bytes())
    assert [thread.tid for thread in core.threads] == [1, 2]
    assert core.damage == ()


def test_a_flood_of_damaged_notes_has_an_end() -> None:
    """Each leads to a search for the next one."""
    builder = CoreBuilder().thread(9)
    builder.notes.extend([struct.pack("<III", 5, 0xFFFFFFF0, 77) + b"CORE\0\0\0\0"] * 500)
    core = core_parser.parse(builder.bytes(), Limits(damaged_notes=100))
    assert [thread.tid for thread in core.threads] == [9]
    assert len(core.damage) == 100
    assert core.left_out == {"damaged_notes": 1}


def test_zeros_are_no_notes() -> None:
    """A note segment that leads to megabytes of them."""
    data = CoreBuilder().thread(9).bytes()
    damage: list[str] = []
    start = len(data) - (HEADER + STATUS)
    zeros = bytes(1 << 24)
    found = list(recovery.iterate(data + zeros, start, HEADER + STATUS + len(zeros), damage))
    assert ([note.type for note in found], damage) == ([notes.NT_PRSTATUS], [])
