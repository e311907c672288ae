"""Whether what lies at an address of a heap of glibc's is in a block that was freed.

A heap is a row of chunks: {prev_size, size with three flags}, then the block, which reaches into the next chunk's
prev_size. PREV_INUSE of the next chunk tells whether a chunk is in use, and its prev_size then repeats the size of a
free one; behind the last comes the top chunk, the rest of the heap, which no block is in (malloc/malloc.c,
malloc_chunk). A block in a thread's cache counts as in use there; it has the cache's mark behind its link (see
freed.py), which is cleared when it is given out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model.report import Arena
    from postmortem.program.memory import AddressSpace

NAME = "glibc"
_IN_USE, _MMAPPED, _OTHER_ARENA, _FLAGS = 1, 2, 4, 7
_SMALLEST, _HEADER, _ALIGNED = 32, 16, 16
_MARK = 8
_ARENA_HEAD = 0x1000


def freed(space: AddressSpace, heap: tuple[int, int], arenas: Sequence[Arena], mark: int | None, address: int) -> bool:
    """heap: the mapping that holds the address. arenas: the heaps of others than the main one. mark: of cached blocks,
    where it is known."""
    for arena in arenas:
        if arena.start <= address < arena.start + arena.size:
            end = int(arena.start + arena.size)
            start = _first_of_arena(space, int(arena.start), end)
            return start is not None and _is_freed(space, start, end, mark, address)
    start = -(-heap[0] // _ALIGNED) * _ALIGNED
    first = space.word(start + 8)
    return first is not None and bool(first & _IN_USE) and _is_freed(space, start, heap[1], mark, address)


def _first_of_arena(space: AddressSpace, begin: int, end: int) -> int | None:
    """The first chunk of an arena's heap: behind its head, the first word that can be the size of a chunk in a row."""
    for at in range(begin + 0x20, min(begin + _ARENA_HEAD, end), _ALIGNED):
        position = at
        for _ in range(4):
            size = space.word(position + 8)
            if size is None or size & _FLAGS not in (_OTHER_ARENA, _OTHER_ARENA | _IN_USE) or size < _SMALLEST:
                break
            position += size & ~_FLAGS
            if position > end:
                break
            if position == end:
                return at
        else:
            return at
    return None


def _is_freed(space: AddressSpace, start: int, end: int, mark: int | None, address: int) -> bool:
    for _ in range(LIMITS.heap_chunks):
        word = space.word(start + 8)
        if word is None:
            return False
        size = word & ~_FLAGS
        following = start + size
        if size < _SMALLEST or size % _ALIGNED or word & _MMAPPED or following > end:
            return False
        if address < following + 8:
            if address < start + _HEADER:
                return False  # in the head of a chunk: no place of an object
            after = space.word(following + 8) if following + _HEADER <= end else None
            if after is None:
                return following >= end - _HEADER  # the top chunk ends the heap
            if not after & _IN_USE:
                return space.word(following) == size
            return mark is not None and space.word(start + _HEADER + _MARK) == mark
        start = following
    return False
