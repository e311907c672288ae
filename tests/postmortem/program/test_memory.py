"""Reads of the address space: the core's pieces over those of files, whatever is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.filebytes import FileBytes
from parsers.limits import Limits
from postmortem.budget import Budget
from postmortem.program.memory import AddressSpace, Piece

if TYPE_CHECKING:
    from pathlib import Path


def _piece(start: int, content: bytes) -> Piece:
    return Piece(start, start + len(content), content, 0)


def test_the_core_lies_over_the_file() -> None:
    space = AddressSpace([_piece(0x1004, b"core")])
    space.add_file(_piece(0x1000, b"filefilefile"))
    assert space.read(0x1000, 12) == b"filecorefile"
    assert space.read_some(0x1000, 100) == b"filecorefile"
    assert space.read(0x1004, 4) == b"core"
    assert space.read(0x1002, 4) == b"leco"


def test_a_file_that_is_added_later_is_found() -> None:
    space = AddressSpace([])
    space.add_file(_piece(0x3000, b"three"))
    assert space.read(0x3000, 5) == b"three"
    space.add_file(_piece(0x1000, b"one"))
    assert (space.read(0x1000, 3), space.read(0x3000, 5)) == (b"one", b"three")


def test_adjoining_pieces_are_read_as_one_and_a_gap_ends() -> None:
    space = AddressSpace([_piece(0x1003, b"def"), _piece(0x1000, b"abc"), _piece(0x1007, b"x")])
    assert space.read(0x1001, 5) == b"bcdef"
    assert space.read(0x1001, 6) is None
    assert space.read_some(0x1001, 99) == b"bcdef"


@pytest.mark.parametrize("address", [-1, -(1 << 70), 1 << 64, 1 << 200, 0, 0xFFFFFFFFFFFFFFFF])
@pytest.mark.parametrize("size", [-1, 0, 1, 8, 1 << 62])
def test_no_address_raises(address: int, size: int) -> None:
    space = AddressSpace([_piece(0x1000, b"abcdefgh")])
    for _ in range(2):
        assert space.read(address, size) is None
        assert space.read_some(address, size) == b""
        assert space.word(address) is None
        assert space.words(address, 2) is None
        assert space.cstring(address) is None
        space.word(0x1000)  # what was read last is kept at hand


def test_numbers_are_little_endian() -> None:
    space = AddressSpace([_piece(0x1000, bytes(range(0x80, 0x98)))])
    for _ in range(2):
        assert space.unsigned(0x1000, 2) == 0x8180
        assert space.signed(0x1000, 2) == 0x8180 - 0x10000
        assert space.word(0x1001) == 0x8887868584838281
        assert space.words(0x1000, 3) == (0x8786858483828180, 0x8F8E8D8C8B8A8988, 0x9796959493929190)
        assert space.word(0x1011) is None
        assert space.words(0x1001, 3) is None
        assert space.unsigned(0x1017, 2) is None


def test_many_words_are_read_as_few() -> None:
    space = AddressSpace([_piece(0x1000, b"".join(number.to_bytes(8, "little") for number in range(40)))])
    assert space.words(0x1000, 40) == tuple(range(40))
    assert space.words(0x1000, 41) is None


def test_a_piece_that_claims_more_than_its_bytes() -> None:
    space = AddressSpace([Piece(0x1000, 0x1020, bytes(12), 0)])
    for _ in range(2):
        assert space.word(0x1000) == 0
        assert space.word(0x1008) is None
        assert space.words(0x1000, 2) is None
        assert space.read(0x1008, 8) is None
        assert space.read(0x1008, 4) == bytes(4)


@pytest.mark.parametrize(
    ("content", "limit", "found"),
    [
        (b"text\0more", 4096, b"text"),
        (b"text", 4096, None),  # no end
        (b"\0", 4096, b""),
        (b"x" * 300 + b"\0", 4096, b"x" * 300),  # longer than what is read at first
        (b"x" * 255 + b"\0", 4096, b"x" * 255),
        (b"x" * 256 + b"\0", 4096, b"x" * 256),
        (b"x" * 300 + b"\0", 300, None),
        (b"x" * 300 + b"\0", 301, b"x" * 300),
        (b"abc\0", 3, None),
    ],
)
def test_strings_end_at_a_zero_within_the_limit(content: bytes, limit: int, found: bytes | None) -> None:
    assert AddressSpace([_piece(0x1000, content)]).cstring(0x1000, limit) == found


def test_text_of_all_strings_has_a_bound() -> None:
    budget = Budget(Limits(text=7))
    space = AddressSpace([_piece(0x1000, b"four\0four\0")], budget)
    assert space.cstring(0x1000) == b"four"
    assert space.cstring(0x1005) is None
    assert [found.name for found in budget.reached] == ["text"]


def test_one_read_has_a_bound() -> None:
    budget = Budget(Limits(read_bytes=8))
    space = AddressSpace([_piece(0x1000, bytes(64)), _piece(0x2000, b"x")], budget)
    assert space.read(0x1000, 8) == bytes(8)
    space.read(0x2000, 1)
    assert space.read(0x1000, 9) is None
    assert [found.name for found in budget.reached] == ["read_bytes"]


def test_reads_have_a_bound_but_for_what_is_at_hand() -> None:
    budget = Budget(Limits(reads=2))
    space = AddressSpace([_piece(0x1000, bytes(64)), _piece(0x2000, bytes(64))], budget)
    for number in range(8):
        assert space.word(0x1000 + 8 * number) == 0
    assert space.word(0x2000) == 0
    assert space.word(0x1000) is None
    assert space.word(0x2008) == 0
    assert [found.name for found in budget.reached] == ["reads"]


_PIECES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 24)), max_size=5)


@given(_PIECES, _PIECES, st.lists(st.tuples(st.integers(-4, 100), st.integers(0, 40)), max_size=12))
def test_any_pieces_and_reads_are_those_of_a_table_of_bytes(
    core: list[tuple[int, int]], files: list[tuple[int, int]], reads: list[tuple[int, int]]
) -> None:
    """Pieces of one kind do not overlap; the core's bytes are even, the files' odd."""
    table: dict[int, int] = {}

    def laid(rows: list[tuple[int, int]], odd: int) -> list[Piece]:
        pieces, taken = [], set[int]()
        for start, size in rows:
            if not taken & set(range(start, start + size)):
                taken |= set(range(start, start + size))
                content = bytes((at * 2 & 0xFE) | odd for at in range(start, start + size))
                pieces.append(Piece(start, start + size, b"pad" + content, 3))
                table.update(zip(range(start, start + size), content, strict=True))
        return pieces

    below, above = laid(files, 1), laid(core, 0)
    space = AddressSpace(above)
    for piece in below:
        space.add_file(piece)
    for address, size in reads:
        wanted = []
        for at in range(address, address + size):
            if at not in table:
                break
            wanted.append(table[at])
        assert space.read_some(address, size) == bytes(wanted)
        assert space.read(address, size) == (bytes(wanted) if len(wanted) == size > 0 else None)
        whole = [table[at] for at in range(address, address + 8) if at in table]
        assert space.word(address) == (int.from_bytes(bytes(whole), "little") if len(whole) == 8 else None)


def test_pieces_of_a_file_across_its_blocks(tmp_path: Path) -> None:
    """Two pieces that show parts of one file in the other order, ends not at a block's."""
    content = os.urandom(3 * 4096 + 100)
    path = tmp_path / "file"
    path.write_bytes(content)
    with FileBytes(os.open(path, os.O_RDONLY), len(content)) as data:
        first = Piece(0x10000, 0x10000 + 5000, data, 7000)
        second = Piece(0x10000 + 5000, 0x10000 + 9000, data, 100)
        space = AddressSpace([second, first])
        memory = content[7000:12000] + content[100:4100]
        for at in (0, 1, 1191, 1192, 4090, 4999, 5000, 8996, 5000, 0):
            for size in (1, 8, 4096, 4097, 6000):
                want = memory[at : at + size]
                assert space.read_some(0x10000 + at, size) == want
                assert space.read(0x10000 + at, size) == (want if len(want) == size else None)
            word = memory[at : at + 8]
            assert space.word(0x10000 + at) == (int.from_bytes(word, "little") if len(word) == 8 else None)


def test_what_a_cut_file_lacks_is_absent(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 8192)
    with FileBytes(os.open(path, os.O_RDONLY), 8192) as data:
        space = AddressSpace([Piece(0x10000, 0x12000, data, 0)])
        os.truncate(path, 4100)
        assert space.read(0x11000, 4) == b"xxxx"
        assert space.word(0x11000) is None
        assert space.word(0x11008) is None
        assert space.words(0x11000, 2) is None
        assert space.read_some(0x11000, 64) == b"xxxx"
