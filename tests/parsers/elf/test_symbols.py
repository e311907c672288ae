"""Symbol tables, debug links and mini debug info of built files; any bytes give facts or ParseError."""

from __future__ import annotations

import lzma
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.elf.symbols import SHT_DYNSYM, SHT_SYMTAB, Entry, Sections
from parsers.errors import ParseError
from parsers.limits import LIMITS
from tests.parsers.elf.elf_file import Symbol, elf_file

BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
WHOLE = elf_file(
    [Symbol("main", 0x1000, 16), Symbol("table", 0x8000, 8, 0x11, 2)],
    dynsym=[Symbol("exported@@V_1", 0x1010, 4)],
    build_id=BUILD_ID,
    debug_link=("main.debug", 0xDEADBEEF),
    mini=lzma.compress(elf_file([Symbol("hidden", 0x1020, 4, 2)])),
)


def test_reads_all_that_symbols_come_from() -> None:
    sections = Sections(WHOLE)
    assert sections.symbols(SHT_SYMTAB) == [
        Entry(0x1000, 16, b"main", 0x12, 0x5000),
        Entry(0x8000, 8, b"table", 0x11, 0x9000),
    ]
    assert [entry.name for entry in sections.symbols(SHT_DYNSYM)] == [b"exported"]
    assert sections.build_id == BUILD_ID
    assert sections.debug_link is not None
    assert sections.debug_link == ("main.debug", 0xDEADBEEF)
    mini = sections.mini_debug_info()
    assert mini is not None
    assert [entry.name for entry in Sections(mini).symbols(SHT_SYMTAB)] == [b"hidden"]
    assert not sections.has_dwarf


@pytest.mark.parametrize(
    "symbol",
    [
        Symbol("undefined", 0x1000, 4, section=0),
        Symbol("absolute", 0x1000, 4, section=0xFFF1),
        Symbol("file.c", 0, 0, 4, section=0xFFF1),
        Symbol("thread_local", 0x10, 4, 0x16),
        Symbol("section", 0x1000, 0, 3),
        Symbol("in_strtab", 0x10, 4, section=4),
        Symbol("beyond_the_sections", 0x1000, 4, section=999),
        Symbol("", 0x1000, 4),
    ],
)
def test_leaves_out_what_has_no_place_in_memory(symbol: Symbol) -> None:
    assert Sections(elf_file([symbol])).symbols(SHT_SYMTAB) == []


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "..", ".", ""])
def test_a_debug_link_is_a_plain_file_name(name: str) -> None:
    assert Sections(elf_file(debug_link=(name, 1))).debug_link is None


def test_a_long_name_is_cut() -> None:
    (entry,) = Sections(elf_file([Symbol("x" * 100_000, 0x1000, 4)])).symbols(SHT_SYMTAB)
    assert entry.name == b"x" * LIMITS.string


def test_names_that_overlap_have_a_common_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parsers.elf.symbols._NAMES_LIMIT", 1000)
    built = bytearray(elf_file([Symbol("x" * 300, 0x1000, 4), *[Symbol("y", 0x1000, 4)] * 99]))
    table = Sections(bytes(built)).find(b".symtab")
    assert table is not None
    for index in range(1, 101):
        struct.pack_into("<I", built, table.offset + 24 * index, 1)
    assert len(Sections(bytes(built)).symbols(SHT_SYMTAB)) == 3


def test_a_name_without_end_in_the_table() -> None:
    built = bytearray(elf_file([Symbol("main", 0x1000, 16)]))
    table = Sections(bytes(built)).find(b".symtab")
    assert table is not None
    struct.pack_into("<I", built, table.offset + 24, 0xFFFFFFFF)
    assert Sections(bytes(built)).symbols(SHT_SYMTAB) == []


def test_damaged_mini_debug_info() -> None:
    with pytest.raises(ParseError, match="gnu_debugdata"):
        Sections(elf_file(mini=b"\xfd7zXZ\0 no more")).mini_debug_info()


def test_mini_debug_info_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parsers.elf.symbols._MINI_LIMIT", 1 << 20)
    bomb = lzma.compress(bytes(1 << 24), preset=0)
    mini = Sections(elf_file(mini=bomb)).mini_debug_info()
    assert mini is not None
    assert len(mini) == 1 << 20


def read_everything(data: bytes) -> None:
    sections = Sections(data)
    sections.symbols(SHT_SYMTAB)
    sections.symbols(SHT_DYNSYM)
    list(sections.symbol_tables())
    assert sections.build_id is None or sections.build_id
    assert sections.debug_link is None or sections.debug_link.name
    sections.mini_debug_info()


@given(st.binary(max_size=400))
def test_any_bytes_give_facts_or_an_error(data: bytes) -> None:
    for content in (data, WHOLE[:64] + data):
        try:
            read_everything(content)
        except ParseError as error:
            assert str(error)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=12),
    st.integers(0, len(WHOLE)),
)
def test_any_damage_gives_facts_or_an_error(changes: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(WHOLE)
    for place, value in changes:
        damaged[place] = value
    for content in (bytes(damaged), WHOLE[:cut]):
        try:
            read_everything(content)
        except ParseError as error:
            assert str(error)
