"""Sections stored compressed."""

from __future__ import annotations

import struct
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from parsers.elf.header import SectionHeader
from parsers.elf.sections import SHF_COMPRESSED, promises_too_much, section_bytes
from parsers.errors import ParseError

TEXT = b"call frame information " * 40


def header(size: int, flags: int = SHF_COMPRESSED, offset: int = 16) -> SectionHeader:
    return SectionHeader(0, 1, flags, 0, offset, size, 0, 0, 1, 0)


def stored(kind: int, stream: bytes, size: int = len(TEXT)) -> bytes:
    return struct.pack("<IIQQ", kind, 0, size, 8) + stream


@pytest.mark.parametrize(("kind", "stream"), [(1, zlib.compress(TEXT)), (2, zstandard.compress(TEXT))])
def test_both_streams(kind: int, stream: bytes) -> None:
    data = stored(kind, stream)
    assert section_bytes(bytes(16) + data + b"behind", header(len(data))) == TEXT


def test_plain() -> None:
    assert section_bytes(bytes(16) + TEXT, header(len(TEXT), flags=0)) == TEXT


@pytest.mark.parametrize(
    "data",
    [
        b"short",
        stored(3, b"?"),
        stored(1, b"no stream"),
        stored(2, b"no stream"),
        stored(1, zlib.compress(TEXT)[:-20]),
        stored(1, zlib.compress(TEXT), len(TEXT) + 1),
        stored(1, zlib.compress(TEXT), 1 << 40),
    ],
)
def test_damage_is_an_error(data: bytes) -> None:
    with pytest.raises(ParseError):
        section_bytes(bytes(16) + data, header(len(data)))


@pytest.mark.parametrize(("kind", "make"), [(1, zlib.compress), (2, zstandard.compress)])
def test_a_bomb_stops_at_the_bound(kind: int, make: object) -> None:
    data = stored(kind, make(bytes(1 << 24)), 1 << 10)  # type: ignore[operator]
    assert section_bytes(bytes(16) + data, header(len(data)), largest=1 << 20) == bytes(1 << 10)


@given(st.binary(max_size=200), st.sampled_from([1, 2]))
def test_any_stream(stream: bytes, kind: int) -> None:
    data = stored(kind, stream)
    try:
        assert len(section_bytes(bytes(16) + data, header(len(data)))) == len(TEXT)
    except ParseError as error:
        assert error.what


@pytest.mark.parametrize("data", [zlib.compress(bytes(1 << 20)), zstandard.compress(TEXT)])
def test_a_size_that_a_stream_can_have(data: bytes) -> None:
    size = 1 << 20 if data[:1] == b"\x78" else len(TEXT)
    whole = stored(1, data, size)
    assert not promises_too_much(bytes(16) + whole, header(len(whole)))
    older = b"ZLIB" + size.to_bytes(8, "big") + data
    assert not promises_too_much(bytes(16) + older, header(len(older), flags=0))


def test_a_size_that_no_stream_has() -> None:
    whole = stored(1, zlib.compress(TEXT), 1 << 60)
    assert promises_too_much(bytes(16) + whole, header(len(whole)))
    older = b"ZLIB" + (1 << 40).to_bytes(8, "big") + zlib.compress(TEXT)
    assert promises_too_much(bytes(16) + older, header(len(older), flags=0))
    assert not promises_too_much(bytes(16) + TEXT, header(len(TEXT), flags=0))
    assert not promises_too_much(bytes(16) + whole[:20], header(20))
