"""Arrays in words: those without an upper bound, and those of characters."""

from __future__ import annotations

import pytest

from parsers.limits import LIMITS
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


def characters(data: bytes) -> str:
    return Printer([TYPES[0], Type("array", target=0, counts=(len(data),))], read, 0x0C).show(1, data).text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # What gdb 13 prints of them.
        (b"", '""'),
        (b"\0", '""'),
        (b"\0\0", r'"\000"'),
        (b"ab\0cd\0ef", r'"ab\000cd\000ef"'),
        (b"\0\x1b!\0\xaa\xbb", r'"\000\033!\000\252\273"'),
        (b"\0" + b"12\0", r'"\00012"'),
        (b"name" + bytes(28), "\"name\", '\\000' <repeats 27 times>"),
        (b"name" + bytes(11), r'"name' + r"\000" * 10 + '"'),
        (b"a" * 11 + b"b" * 10 + b"\0\0", "'a' <repeats 11 times>, \"bbbbbbbbbb\\000\""),
        (b"'" * 12, r"'\'' <repeats 12 times>"),
        (bytes(32), r"'\000' <repeats 31 times>"),
        (b"A" * 120 + b"B" * 100, "'A' <repeats 120 times>..."),
        (b"0123456789" * 12, '"' + "0123456789" * 8 + '"...'),
        (b"0123456789" * 8 + b"\0", '"' + "0123456789" * 8 + '"'),
        ("h\u00e9llo\0w\0".encode(), '"h\u00e9llo\\000w"'),
    ],
)
def test_an_array_of_characters_is_shown_with_what_follows_a_nul(data: bytes, expected: str) -> None:
    assert characters(data) == expected


def test_an_array_of_characters_too_large_to_be_read_goes_on() -> None:
    types = [TYPES[0], Type("array", target=0, counts=(1 << 20,))]
    head = b"head" + bytes((1 << 20) - 4)
    whole = Printer(types, lambda at, size: head[at : at + size], 0x0C)
    assert whole.large(1, 0) == f"\"head\", '\\000' <repeats {LIMITS.value_bytes - 4} times>..."
    first = Printer(types, lambda at, size: head[at : at + size] if size <= 4096 else None, 0x0C)
    assert first.large(1, 0) == '"head' + r"\000" * (LIMITS.value_characters - 4) + '"...'
