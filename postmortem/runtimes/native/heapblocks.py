"""Whether what lies at an address of a heap of glibc's is in a block that was freed.

A heap is a row of chunks: {prev_size, size with three flags}, then the block, which reaches into the next chunk's
prev_size. PREV_INUSE of the next chunk tells whether a chunk is in use, and its prev_size then repeats the size of a
free one; behind the last comes the top chunk, the rest of the heap, which no block is in (malloc/malloc.c,
malloc_chunk). A block in a thread's cache counts as in use there; it has the cache's mark behind its link (see
freed.py), which is cleared when it is given out again.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.model.report import Arena
    from postmortem.program.memory import AddressSpace

NAME = "glibc"
_IN_USE, _MMAPPED, _OTHER_ARENA, _FLAGS = 1, 2, 4, 7
_SMALLEST, _HEADER, _ALIGNED = 32, 16, 16
_MARK = 8
_ROW = 4
_ARENA_HEAD = 0x1000


class HeapBlocks:
    """The heaps of a process; the chunks of each are walked once, as far as they are asked for.

    arenas: the heaps of others than the main one. mark: gives that of cached blocks, where it is known;
    it is looked for only when a block could have it.
    """

    def __init__(self, space: AddressSpace, arenas: Sequence[Arena], mark: Callable[[], int | None]) -> None:
        self._space, self._arenas, self._mark = space, arenas, mark
        self._chunks: dict[int, list[int]] = {}
        self._left = LIMITS.heap_chunks

    def is_freed(self, heap: tuple[int, int], address: int) -> bool:
        """Whether a freed block, or the end of a heap, holds an address. heap: the mapping that does."""
        for arena in self._arenas:
            if arena.start <= address < arena.start + arena.size:
                end = int(arena.start + arena.size)
                start = self._first_of_arena(int(arena.start), end)
                return start is not None and self._is_freed(start, end, address)
        start = -(-heap[0] // _ALIGNED) * _ALIGNED
        first = self._space.word(start + 8)
        return first is not None and bool(first & _IN_USE) and self._is_freed(start, heap[1], address)

    def _first_of_arena(self, begin: int, end: int) -> int | None:
        """The first chunk of an arena's heap: behind its head, the first word that can be a chunk's size in a row."""
        for at in range(begin + 0x20, min(begin + _ARENA_HEAD, end), _ALIGNED):
            position = at
            for _ in range(_ROW):
                size = self._space.word(position + 8) or 0
                position += size & ~_FLAGS
                if position == end and size & _FLAGS == _IN_USE:
                    return at  # the top chunk
                if size & _FLAGS not in (_OTHER_ARENA, _OTHER_ARENA | _IN_USE) or size < _SMALLEST or position > end:
                    break
            else:
                return at
        return None

    def _is_freed(self, first: int, end: int, address: int) -> bool:
        chunks = self._chunks.setdefault(first, [first])
        while address >= chunks[-1] + 8 and self._left > 0:
            self._left -= 1
            following = self._following(chunks[-1], end)
            if following is None:
                break
            chunks.append(following)
        start = chunks[bisect_right(chunks, address - 8) - 1] if address - 8 >= first else None
        following = None if start is None else self._following(start, end)
        if start is None or following is None or not start + _HEADER <= address < following + 8:
            return False  # in the head of a chunk, which is no place of an object, or behind what was walked
        after = self._space.word(following + 8) if following + _HEADER <= end else None
        if after is None:
            return following >= end - _HEADER  # the top chunk ends the heap
        if not after & _IN_USE:
            return self._space.word(following) == following - start
        word = self._space.word(start + _HEADER + _MARK)
        return bool(word) and word == self._mark()

    def _following(self, start: int, end: int) -> int | None:
        """Where the next chunk begins; None at the end of the heap, and where a word can't be a size."""
        word = self._space.word(start + 8) if start < end else None
        if word is None:
            return None
        size = word & ~_FLAGS
        if size < _SMALLEST or size % _ALIGNED or word & _MMAPPED or start + size > end:
            return None
        return start + size
