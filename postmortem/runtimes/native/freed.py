"""The word by which glibc 2.34 to 2.41 mark a block in a thread's cache of freed blocks (malloc/malloc.c, tcache_key).

It is one random number for the whole process, behind the link of each such block, and is cleared when the block is
given out again. The cache itself (tcache_perthread_struct {uint16_t counts[64]; tcache_entry *entries[64];}) is the
first block of the heap, or lies behind the malloc_state of an arena.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parsers.elf.core import Core
    from postmortem.model.report import Arena
    from postmortem.program.memory import AddressSpace

_BINS = 64
_SIZE = 2 * _BINS + 8 * _BINS
_HEADER = 16
_CHUNK = (_SIZE + 8 + 15) & ~15
_FLAGS = 7
_ARENA_HEAD = 0x1000
_MOST_COUNTED = 127
"""Blocks of one size in a cache; glibc keeps 7 unless it is tuned."""
_LINK = 8


def mark(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> int | None:
    """The word; None where no cache has a block, two disagree, or glibc has no such word."""
    found: set[int] = set()
    for start in _caches(core, space, heaps):
        raw = space.read(start, _SIZE)
        if raw is None:
            continue
        counts = struct.unpack_from(f"<{_BINS}H", raw)
        entries = struct.unpack_from(f"<{_BINS}Q", raw, 2 * _BINS)
        if any(
            count > _MOST_COUNTED or bool(count) != bool(entry) for count, entry in zip(counts, entries, strict=True)
        ):
            continue
        found.update(word for entry in entries if entry and (word := space.word(entry + _LINK)))
        if len(found) > 1:
            return None  # 2.29 to 2.33 have the cache's own address there, one for each thread
    word = next(iter(found), None)
    return word if word is not None and word >> 48 else None


def _caches(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> Iterator[int]:
    """Where a chunk of the cache's size lies at the start of a heap or arena."""
    for segment in core.segments[: LIMITS.arenas_limit]:
        if segment.permissions == "rw-" and segment.dumped:
            words = space.words(segment.start, 2)
            if words is not None and words[0] == 0 and words[1] & ~_FLAGS == _CHUNK:
                yield segment.start + _HEADER
    for heap in heaps:
        raw = space.read_some(heap.start, min(_ARENA_HEAD, heap.size))
        for index, (word,) in enumerate(struct.iter_unpack("<Q", raw[: len(raw) & ~7])):
            if word & ~_FLAGS == _CHUNK and word & _FLAGS == 5:
                yield heap.start + 8 * index + 8
                break
