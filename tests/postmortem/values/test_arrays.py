"""Arrays in words: those without an upper bound, and those of characters."""

from __future__ import annotations

from postmortem.values.description import Member, Type
from postmortem.values.text import Printer

BASE = 0x1000
TYPES = [
    Type("base", "char", 1, 0x06),
    Type("base", "int", 4, 0x05),
    Type("array", target=0, counts=(None,)),
    Type("array", target=1, counts=(None,)),
    Type("struct", "texts", 4, members=(Member("count", 1, 0), Member("text", 2, 4))),
    Type("struct", "numbers", 4, members=(Member("count", 1, 0), Member("tail", 3, 4))),
    Type("pointer", "", 8, target=4),
    Type("pointer", "", 8, target=5),
    Type("array", target=1, counts=(b"\x30",)),
]
HELD = (2).to_bytes(4, "little") + b"flextext\0" + bytes(100)


def read(address: int, size: int) -> bytes | None:
    part = HELD[address - BASE : address - BASE + size] if address >= BASE else b""
    return part if len(part) == size else None


def printer() -> Printer:
    return Printer(TYPES, read, 0x0C)


def test_a_flexible_array_member_is_where_it_begins() -> None:
    pointer = BASE.to_bytes(8, "little")
    assert printer().show(6, pointer).points_to == '{count = 2, text = 0x1004 "flextext"}'
    assert printer().show(7, pointer).points_to == "{count = 2, tail = 0x1004}"
    assert printer().show(5, HELD[:4], BASE).text == "{count = 2, tail = 0x1004}"


def test_of_a_structure_in_registers_it_is_not_known_where_it_begins() -> None:
    assert printer().show(4, HELD[:4]).text == "{count = 2, text = {...}}"


def test_an_array_whose_length_is_not_known_is_no_flexible_one() -> None:
    assert printer().text(8, b"", 0, BASE) == "{...}"
