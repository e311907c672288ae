"""Library types in words: Go's strings, by their fields and the language."""

from __future__ import annotations

import pytest

from postmortem.values.description import Member, Type
from postmortem.values.text import Printer

GO, C = 0x16, 0x0C
HELD = b"all goroutines are asleep - deadlock!"
TYPES = [
    Type("base", "uint8", 1, 0x07),
    Type("pointer", "*uint8", 8, target=0),
    Type("base", "int", 8, 0x05),
    Type("struct", "string", 16, members=(Member("str", 1, 0), Member("len", 2, 8))),
    Type("struct", "main.Path", 16, members=(Member("str", 1, 0), Member("len", 2, 8))),
    Type("struct", "main.Order", 24, members=(Member("id", 2, 0), Member("name", 3, 8))),
    Type("struct", "[]uint8", 24, members=(Member("array", 1, 0), Member("len", 2, 8), Member("cap", 2, 16))),
]


def read(address: int, size: int) -> bytes | None:
    part = HELD[address - 0x1000 : address - 0x1000 + size] if address >= 0x1000 else b""
    return part if len(part) == size else None


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


@pytest.mark.parametrize("index", [3, 4])
def test_a_string_of_go(index: int) -> None:
    shown = Printer(TYPES, read, GO).show(index, words(0x1000, len(HELD)))
    assert (shown.text, shown.value) == (f'"{HELD.decode()}"', HELD.decode())


def test_a_string_within_a_structure_and_an_empty_one() -> None:
    printer = Printer(TYPES, read, GO)
    assert printer.show(5, words(7, 0x1004, 10)).text == '{id = 7, name = "goroutines"}'
    assert printer.show(3, words(0, 0)).text == '""'


def test_the_same_fields_in_c_are_a_structure() -> None:
    assert Printer(TYPES, read, C).show(3, words(0x1000, 3)).text == "{str = 0x1000, len = 3}"


def test_a_slice_is_no_string() -> None:
    assert Printer(TYPES, read, GO).show(6, words(0x1000, 3, 8)).text == "{array = 0x1000, len = 3, cap = 8}"


def test_a_length_that_no_string_has_leaves_the_fields() -> None:
    assert Printer(TYPES, read, GO).show(3, words(0x1000, 1 << 62)).text.startswith("{str = 0x1000, len = ")


def test_a_string_whose_page_is_not_there() -> None:
    assert Printer(TYPES, read, GO).show(3, words(0x900000, 4)).text == "<page not in the core (0x900000)>"
