"""Go's table of functions: the forms of 1.16 and of 1.18 on, and damage."""

from __future__ import annotations

import random
import struct

import pytest

from parsers.elf.gopclntab import Function, functions

TEXT = 0x401000
NAMES = ("runtime.main", "main.(*Order).Total", "main.main")
STARTS = (0, 0x40, 0x200, 0x240)
"""Of the functions, relative to the text, and the end of the last."""
EXPECTED = [
    Function(TEXT + start, end - start, name.encode())
    for start, end, name in zip(STARTS[:-1], STARTS[1:], NAMES, strict=True)
]


def table(magic: int, text: int = TEXT) -> bytes:
    """As cmd/link lays it out: header, names, rows, records."""
    names = b"\0".join(name.encode() for name in NAMES) + b"\0"
    name_at = [names.index(name.encode()) for name in NAMES]
    based = magic != 0xFFFFFFFA
    row, start_format = ("<II", "<I") if based else ("<QQ", "<Q")
    starts = [start if based else TEXT + start for start in STARTS]
    records_at = struct.calcsize(row) * len(NAMES) + struct.calcsize(start_format)
    size = struct.calcsize(start_format) + 4
    rows = b"".join(struct.pack(row, start, records_at + size * i) for i, start in enumerate(starts[:-1]))
    rows += struct.pack(start_format, starts[-1])
    rows += b"".join(struct.pack(start_format + "i", s, n) for s, n in zip(starts[:-1], name_at, strict=True))
    words = 8 if based else 7
    first = 8 + 8 * words
    offsets = (first, 0, 0, 0, first + len(names))
    header = struct.pack("<IHBB", magic, 0, 1, 8) + struct.pack(
        f"<{words}Q", len(NAMES), 2, *((text,) if based else ()), *offsets
    )
    return header + names + rows


@pytest.mark.parametrize("magic", [0xFFFFFFFA, 0xFFFFFFF0, 0xFFFFFFF1])
def test_forms(magic: int) -> None:
    assert list(functions(table(magic), TEXT)) == EXPECTED


def test_a_program_that_is_not_relocated_yet_has_its_text_elsewhere() -> None:
    assert list(functions(table(0xFFFFFFF1, text=0), TEXT)) == EXPECTED


@pytest.mark.parametrize("magic", [0xFFFFFFFB, 0, 0xFFFFFFF2])
def test_other_forms_are_left_alone(magic: int) -> None:
    assert list(functions(struct.pack("<I", magic) + table(0xFFFFFFF1)[4:], TEXT)) == []


def test_damage_ends_in_fewer_functions() -> None:
    whole = table(0xFFFFFFF1)
    for end in range(len(whole)):
        assert set(functions(whole[:end], TEXT)) <= set(EXPECTED)
    chance = random.Random(7)
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(4, len(damaged))] = chance.randrange(256)
        found = list(functions(bytes(damaged), TEXT))
        assert len(found) <= len(NAMES) or damaged[8:16] != whole[8:16]
