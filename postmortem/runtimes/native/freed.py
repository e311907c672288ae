"""The word by which glibc 2.34 and newer mark a block in a thread's cache of freed blocks: tcache_key, malloc/malloc.c.

It is one random number for the whole process, behind the link of each such block, and is cleared when the block is
given out again. The cache itself is a block of a heap. Up to 2.41 tcache_perthread_struct {uint16_t counts[64];
tcache_entry *entries[64];} is the first one, or lies behind the malloc_state of an arena. From 2.42 on it has 76 bins
and counts the places that are left (num_slots); from 2.43 on it is made at the first free, behind other blocks.
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

_BINS, _LATER_BINS = 64, 76
_HEADER = 16
_CHUNK, _LATER_CHUNK = ((10 * bins + 8 + 15) & ~15 for bins in (_BINS, _LATER_BINS))
_FLAGS = 7
_IN_MAIN, _IN_ARENA = 1, 5
"""The flags of a block whose predecessor is in use."""
_ARENA_HEAD = 0x1000
_MOST_COUNTED = 127
"""Blocks of one size in a cache; glibc keeps 7, from 2.43 on 16, unless it is tuned."""
_LINK = 8


def mark(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> int | None:
    """The word; None where no cache has a block, two disagree, or glibc has no such word."""
    found: set[int] = set()
    for entries in (*_first_blocks(core, space, heaps), *_later_caches(core, space, heaps)):
        found.update(word for entry in entries if entry and (word := space.word(entry + _LINK)))
        if len(found) > 1:
            return None  # 2.29 to 2.33 have the cache's own address there, one for each thread
    word = next(iter(found), None)
    return word if word is not None and word >> 48 else None


def _first_blocks(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> Iterator[tuple[int, ...]]:
    """The lists of the caches up to 2.41: a block of the cache's size lies at the start of a heap or arena."""
    for start in _starts(core, space, heaps):
        raw = space.read(start, 10 * _BINS)
        if raw is None:
            continue
        counts = struct.unpack_from(f"<{_BINS}H", raw)
        entries = struct.unpack_from(f"<{_BINS}Q", raw, 2 * _BINS)
        if all(
            count <= _MOST_COUNTED and bool(count) == bool(entry) for count, entry in zip(counts, entries, strict=True)
        ):
            yield entries


def _starts(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> Iterator[int]:
    for segment in core.segments[: LIMITS.arenas_limit]:
        if segment.permissions == "rw-" and segment.dumped:
            words = space.words(segment.start, 2)
            if words is not None and words[0] == 0 and words[1] & ~_FLAGS == _CHUNK:
                yield segment.start + _HEADER
    for heap in heaps:
        raw = space.read_some(heap.start, min(_ARENA_HEAD, heap.size))
        for index, (word,) in enumerate(struct.iter_unpack("<Q", raw[: len(raw) & ~7])):
            if word & ~_FLAGS == _CHUNK and word & _FLAGS == _IN_ARENA:
                yield heap.start + 8 * index + 8
                break


def _later_caches(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> Iterator[tuple[int, ...]]:
    """The lists of the caches since 2.42: blocks of the cache's size near the start of a heap or arena."""
    total = 0
    for start, size, flags in _heads(core, space, heaps):
        raw = space.read_some(start, min(size, LIMITS.freed_cache_head))
        total += len(raw)
        if total > LIMITS.freed_cache_total:
            return
        sought = struct.pack("<Q", _LATER_CHUNK | flags)
        at = -1
        for _ in range(LIMITS.freed_cache_candidates):
            at = raw.find(sought, at + 1)
            if at < 0:
                break
            if (start + at) % 16 == 8 and (entries := _later_lists(raw[at + 8 : at + 8 + 10 * _LATER_BINS])):
                yield entries


def _heads(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> Iterator[tuple[int, int, int]]:
    """(start, size, flags of its blocks) of what may be the main heap, and of the heaps of arenas."""
    for segment in core.segments[: LIMITS.arenas_limit]:
        size = segment.end - segment.start
        if segment.permissions == "rw-" and segment.dumped:
            words = space.words(segment.start, 2)
            # Its first block: nothing before it, 16-byte aligned, of the main arena.
            if words is not None and words[0] == 0 and words[1] & 15 == _IN_MAIN and 2 * _HEADER <= words[1] < size:
                yield segment.start, size, _IN_MAIN
    for heap in heaps:
        yield heap.start, heap.size, _IN_ARENA


def _later_lists(raw: bytes) -> tuple[int, ...]:
    """The heads of the lists of small blocks; () where the bytes are no cache.

    Each bin starts with the same number of places, and one whose places are all left has no list.
    """
    if len(raw) < 10 * _LATER_BINS:
        return ()
    left = struct.unpack_from(f"<{_LATER_BINS}H", raw)
    entries = struct.unpack_from(f"<{_LATER_BINS}Q", raw, 2 * _LATER_BINS)
    most = max(left)
    if not 0 < most <= _MOST_COUNTED:
        return ()
    if any((places < most) != bool(entry) for places, entry in zip(left, entries, strict=True)):
        return ()
    if any(entry % 16 for entry in entries[:_BINS]):
        return ()
    return entries[:_BINS]
