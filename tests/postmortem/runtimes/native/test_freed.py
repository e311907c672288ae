"""The word by which glibc marks freed blocks, by the layouts of its cache up to 2.41 and from 2.42 on."""

from __future__ import annotations

import struct

import pytest

from parsers.elf import core as core_parser
from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.native.arenas import arenas
from postmortem.runtimes.native.freed import mark
from tests.build.core import CoreBuilder

READ_WRITE = 6
HEAP = 0x555555559000
ARENA = 0x7F0004000000
MARK = 0x637564CB2A8C3CF2
SIZE = 132 << 10


def block(size: int, content: bytes = b"", flags: int = 1) -> bytes:
    """A block's last word lies where the next one begins."""
    return (struct.pack("<QQ", 0, size | flags) + content).ljust(size, b"\0")[:size]


def freed(word: int = MARK, flags: int = 1, at: int = HEAP, following: int = 0) -> bytes:
    """A freed block in the page."""
    return block(0x20, struct.pack("<QQ", at >> 12 ^ following, word), flags)


def cache(counts: list[int], entry: int, flags: int = 1) -> bytes:
    """A cache whose first list begins at the entry."""
    lists = [entry] + [0] * (len(counts) - 1)
    return block((10 * len(counts) + 23) & ~15, struct.pack(f"<{len(counts)}H{len(counts)}Q", *counts, *lists), flags)


def earlier(entry: int, flags: int = 1) -> bytes:
    return cache([1] + [0] * 63, entry, flags)


def later(entry: int, flags: int = 1, places: int = 16, left: int = 15) -> bytes:
    return cache([left] + [places] * 75, entry, flags)


def marked(content: bytes, at: int = HEAP) -> int | None:
    data = CoreBuilder().thread(1).memory(at, content.ljust(SIZE, b"\0"), READ_WRITE).bytes()
    core = core_parser.parse(data)
    space = AddressSpace(Piece(item.start, item.end, data, item.offset) for item in core.segments)
    return mark(core, space, arenas(core, space))


def test_up_to_2_41_the_cache_is_the_first_block() -> None:
    assert marked(earlier(HEAP + 0x290 + 16) + freed()) == MARK
    assert marked(freed() + block(0x2000) + earlier(HEAP + 16)) is None


@pytest.mark.parametrize(("places", "left", "following"), [(7, 6, 0), (16, 15, 0), (16, 0, HEAP + 0x8000)])
def test_since_2_42_the_cache_counts_what_is_left(places: int, left: int, following: int) -> None:
    assert marked(later(HEAP + 0x300 + 16, places=places, left=left) + freed(following=following)) == MARK
    assert marked(later(HEAP + 0x300 + 16, places=places, left=left) + freed(following=following ^ 8)) is None


def test_since_2_43_the_cache_lies_behind_other_blocks() -> None:
    assert marked(freed() + later(HEAP + 16)) == MARK
    assert marked(freed() + block(0x11C00) + later(HEAP + 16)) == MARK


@pytest.mark.parametrize(
    "content",
    [
        later(HEAP + 16, left=16),  # a list, and all places left
        later(0),  # no list, and a place taken
        later(HEAP + 24),  # no block begins there
        later(HEAP + 16, places=0x4141, left=15),  # text
        later(HEAP + 16, flags=5),  # of an arena, in the main heap
        later(HEAP + 16)[:0x80],
    ],
)
def test_what_is_no_cache(content: bytes) -> None:
    assert marked(freed() + content) is None


def test_blocks_that_disagree() -> None:
    both = freed() + later(HEAP + 16)
    assert marked(both + freed(MARK ^ 16) + later(HEAP + len(both) + 16)) is None


def test_the_heap_of_an_arena() -> None:
    head = struct.pack("<QQQQ", ARENA + 0x30, 0, SIZE, SIZE).ljust(0x900, b"\0")
    block_of_it = freed(flags=5, at=ARENA)
    assert marked(head + block_of_it + later(ARENA + 0x910, flags=5), ARENA) == MARK
    assert marked(head + block_of_it + earlier(ARENA + 0x910, flags=5), ARENA) == MARK
    assert marked(head + block_of_it + later(ARENA + 0x910, flags=3), ARENA) is None
