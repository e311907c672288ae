"""LEB128, the numbers of variable length that DWARF is written in. Source: DWARF 5 section 7.6."""

from __future__ import annotations

from parsers.errors import ParseError


def uleb(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """(unsigned number, position after it). Raises ParseError beyond 10 bytes, IndexError at the end of the data."""
    result = shift = 0
    while shift < 70:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
    raise ParseError("ULEB128", position, "is longer than 10 bytes")


def sleb(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """(signed number, position after it). Raises as uleb."""
    value, after = uleb(data, position)
    bits = 7 * (after - position)
    if value & (1 << (bits - 1)):
        value -= 1 << bits
    return value, after
