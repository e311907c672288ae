"""Indexes of .dwp files that claim more than a package has."""

from __future__ import annotations

import struct
import time

import pytest

from parsers.dwarf.dwp import parts
from parsers.errors import ParseError


def _index(columns: int, units: int, slots: int) -> bytes:
    """Of DWARF 5, with every slot taken by a signature that nobody asks for."""
    head = struct.pack("<HHIII", 5, 0, columns, units, slots)
    return head + b"\xaa" * 8 * slots + b"\x01\0\0\0" * slots + bytes(4 * columns * (2 * units + 1))


@pytest.mark.parametrize(("columns", "units", "slots"), [(3, 1, 1 << 23), (1 << 22, 1, 2), (3, 1 << 24, 2)])
def test_what_no_package_has(columns: int, units: int, slots: int) -> None:
    index = _index(columns, units, slots) if units < 9 else _index(columns, 1, slots)[:8] + struct.pack("<I", units)
    with pytest.raises(ParseError):
        parts(index, 12345)


def test_a_full_table_without_the_unit() -> None:
    index = _index(3, 1, 1 << 18)
    start = time.process_time()
    assert parts(index, 12345) is None
    assert time.process_time() - start < 5
