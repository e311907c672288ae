"""Which symbol an address belongs to; damaged tables give answers or ValueError."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.elf.symbols import Entry
from postmortem.symbols.table import SymbolTable, build

GLOBAL, WEAK, LOCAL = 0x12, 0x22, 0x02
LABEL, OBJECT = 0x00, 0x11
END = 0x5000


def table(*entries: tuple[int, int, str, int]) -> SymbolTable:
    return SymbolTable(build(Entry(value, size, name.encode(), info, END) for value, size, name, info in entries))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0x0FFF, None), (0x1000, "first"), (0x100F, "first"), (0x1010, None), (0x1020, "label"),
        (0x102F, "label"),
        (0x1030, "outer"), (0x1034, "inner"), (0x1037, "inner"), (0x1038, "outer"), (0x103F, "outer"),
        (0x1040, None), (0x4FF0, "last_label"), (0x4FFF, "last_label"), (0x5000, None),
        (1 << 64, None), (-1, None),
    ],
)  # fmt: skip
def test_covers(address: int, name: str | None) -> None:
    symbols = table(
        (0x1000, 16, "first", GLOBAL), (0x1020, 0, "label", LABEL), (0x1030, 16, "outer", GLOBAL),
        (0x1034, 4, "inner", LOCAL), (0x1032, 0, "inside_a_sized_one", LABEL),
        (0x4FF0, 0, "last_label", LABEL),
    )  # fmt: skip
    found = symbols.find(address)
    assert (found and found[0]) == name


def test_an_enclosing_symbol_is_found_behind_many_inner_ones() -> None:
    inner = [(0x1010 + 8 * index, 4, f"inner{index}", LOCAL) for index in range(100)]
    symbols = table((0x1000, 0x1000, "outer", GLOBAL), *inner)
    assert symbols.find(0x1F00) == ("outer", 0x1000, 0x1000)


@pytest.mark.parametrize(
    ("aliases", "best"),
    [
        ([("gsignal", WEAK), ("raise", GLOBAL), ("__GI_raise", LOCAL)], "raise"),
        ([("a_local", LOCAL), ("weak", WEAK)], "weak"),
        ([("___strtold", LOCAL), ("__GI____strtold", LOCAL)], "___strtold"),
        ([("_IO_puts", GLOBAL), ("puts", GLOBAL)], "puts"),
        ([("data", OBJECT), ("function", LOCAL)], "function"),
    ],
)
def test_of_one_address_the_better_known_name(aliases: list[tuple[str, int]], best: str) -> None:
    for order in (aliases, aliases[::-1]):
        found = table(*((0x1000, 16, name, info) for name, info in order)).find(0x1004)
        assert found == (best, 0x1000, 16)


def test_a_sized_alias_over_a_label() -> None:
    symbols = table((0x1000, 0, "label", GLOBAL), (0x1000, 8, "sized", LOCAL))
    assert symbols.find(0x1000) == ("sized", 0x1000, 8)
    assert symbols.find(0x1008) is None


def test_by_name() -> None:
    symbols = table((0x1000, 4, "foo", LOCAL), (0x2000, 4, "foo", GLOBAL), (0x3000, 4, "foobar", GLOBAL))
    assert symbols.address_of("foo") == 0x2000
    assert symbols.address_of("fo") is None
    assert symbols.address_of("oo") is None
    assert symbols.address_of("foo\0") is None
    assert symbols.address_of("\udcff") is None
    assert [name for name, _, _ in symbols.with_prefix("foo")] == ["foo", "foo", "foobar"]
    assert list(symbols.with_prefix("bar")) == []


def test_empty() -> None:
    symbols = table()
    assert len(symbols) == 0
    assert symbols.find(0x1000) is None
    assert symbols.address_of("x") is None


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 60), st.sampled_from([GLOBAL, WEAK, LOCAL])),
        max_size=30,
    ),
    st.integers(0, 300),
)
def test_agrees_with_a_plain_search(rows: list[tuple[int, int, int]], address: int) -> None:
    found = table(*((start, size, f"s{index}", info) for index, (start, size, info) in enumerate(rows))).find(address)
    sized = [(start, size) for start, size, _ in rows if size and start <= address < start + size]
    if sized:
        assert found is not None
        assert found[1] == max(sized)[0]
        assert (found[1], found[2]) in sized
    elif found is not None:
        assert found[2] == 0
        assert found[1] == max(start for start, _, _ in rows if start <= address)


SMALL = build(Entry(0x1000 + 8 * index, 6, f"name{index}".encode(), GLOBAL, END) for index in range(20))


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=20),
    st.integers(0, len(SMALL)),
)
def test_a_damaged_table_never_fails_otherwise(changes: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(SMALL)
    for place, value in changes:
        damaged[place] = value
    for data in (bytes(damaged), SMALL[:cut]):
        try:
            symbols = SymbolTable(data)
        except ValueError:
            continue
        for address in (0, 0x1000, 0x1003, 0x1050, 1 << 63):
            symbols.find(address)
        symbols.address_of("name3")
        list(symbols.with_prefix("n"))
