"""Which addresses of a heap of glibc's lie in freed blocks."""

from __future__ import annotations

import struct

import pytest

from parsers.limits import LIMITS
from postmortem.model import Address
from postmortem.model.report import Arena
from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.native.heapblocks import HeapBlocks

HEAP, ARENA = 0x555555559000, 0x7F0004000000
MARK = 0x637564CB2A8C3CF2


def row(*blocks: tuple[int, bytes], flags: int = 0, end: int = 0x1000) -> bytes:
    """Chunks of a size (its lowest bit: the one before is in use), then the top chunk."""
    data = bytearray()
    before = 0
    for size, content in blocks:
        data += (struct.pack("<QQ", 0 if size & 1 else before, size | flags) + content).ljust(size & ~7, b"\0")
        before = size & ~7
    top = end - len(data)
    return bytes(data) + struct.pack("<QQ", 0, top | 1).ljust(top, b"\0")


def heap(content: bytes, at: int = HEAP, arenas: tuple[Arena, ...] = (), mark: int | None = MARK) -> HeapBlocks:
    return HeapBlocks(AddressSpace([Piece(at, at + len(content), content, 0)]), arenas, lambda: mark)


CACHED = struct.pack("<QQ", 0, MARK)
USED = row((0x41, b"in use"), (0x31, CACHED), (0x81, b"free"), (0x50, b"in use"), (0x31, b"last"))


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (0x10, False),  # in use
        (0x40 + 0x18, True),  # in a thread's cache
        (0x70 + 0x20, True),  # the next chunk says so
        (0x70 + 0x8, False),  # the size of a chunk
        (0xF0 + 0x20, False),
        (0x140 + 0x10, False),
        (0x800, True),  # the top chunk
    ],
)
def test_blocks_of_the_main_heap(offset: int, expected: bool) -> None:
    blocks = heap(USED)
    assert blocks.is_freed((HEAP, HEAP + 0x1000), HEAP + offset) == expected
    assert blocks.is_freed((HEAP, HEAP + 0x1000), HEAP + offset) == expected  # from what was walked before


def test_without_a_mark_a_cached_block_is_in_use() -> None:
    assert not heap(USED, mark=None).is_freed((HEAP, HEAP + 0x1000), HEAP + 0x58)


def test_a_size_that_is_not_repeated_proves_nothing() -> None:
    damaged = bytearray(USED)
    struct.pack_into("<Q", damaged, 0xF0, 0x90)
    assert not heap(bytes(damaged)).is_freed((HEAP, HEAP + 0x1000), HEAP + 0x90)


def test_a_heap_of_an_arena() -> None:
    chunks = row((0x41, b"in use"), (0x81, b"free"), (0x50, b"in use"), flags=4, end=0xF00)
    content = bytes(0x100) + chunks
    arenas = (Arena(start=Address(ARENA), size=len(content)),)
    blocks = heap(content, ARENA, arenas)
    assert blocks.is_freed((ARENA, ARENA + 0x10000), ARENA + 0x100 + 0x60)
    assert not blocks.is_freed((ARENA, ARENA + 0x10000), ARENA + 0x100 + 0x20)


@pytest.mark.parametrize("content", [bytes(0x1000), b"\xff" * 0x1000, struct.pack("<QQ", 0, 0x13) * 0x100])
def test_what_is_no_heap(content: bytes) -> None:
    assert not heap(content).is_freed((HEAP, HEAP + len(content)), HEAP + 0x100)


def test_a_long_heap_is_walked_to_a_limit() -> None:
    count = LIMITS.heap_chunks + 100
    content = row(*[(0x21, b"")] * count, (0x41, b"free"), (0x20, b""), end=0x20 * count + 0x1000)
    blocks = heap(content)
    assert not blocks.is_freed((HEAP, HEAP + len(content)), HEAP + 0x20 * count + 0x18)
    assert not blocks.is_freed((HEAP, HEAP + len(content)), HEAP + 0x10)
