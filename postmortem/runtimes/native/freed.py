"""The word by which glibc 2.34 and newer mark a block in a thread's cache of freed blocks: tcache_key, malloc/malloc.c.

It is one random number for the whole process, behind the link of each such block, and is cleared when the block is
given out again. The cache itself is a block of a heap. Up to 2.41 tcache_perthread_struct {uint16_t counts[64];
tcache_entry *entries[64];} is the first one, or lies behind the malloc_state of an arena; of a static executable the
TLS block of its first thread lies before it. From 2.42 on it has 76 bins and counts the places that are left
(num_slots); from 2.43 on it is made at the first free, behind other blocks. A link is the next block's address, or 0,
xor its own address >> 12: a block whose link is something else was written to, and its word is not the mark.
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
_SIZE, _LATER_SIZE = 10 * _BINS, 10 * _LATER_BINS
_CHUNK, _LATER_CHUNK = ((size + 8 + 15) & ~15 for size in (_SIZE, _LATER_SIZE))
_IN_MAIN, _IN_ARENA = 1, 5
"""The flags of a chunk behind one that is in use."""
_TLS_BEFORE = 0x2000
_ARENA_HEAD = 0x1000
_MOST_COUNTED = 127
"""Blocks of one size in a cache; glibc keeps 7, from 2.43 on 16, unless it is tuned."""
_LINK = 8


def mark(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> int | None:
    """The word; None where no cache has a block, two disagree, or glibc has no such word."""
    found: set[int] = set()
    for raw in _caches(core, space, heaps):
        found.update(
            word
            for entry, count in (_later(raw) if len(raw) == _LATER_SIZE else _earlier(raw))
            if (words := space.words(entry, 2)) and (word := words[1]) and _is_link(entry, words[0], count)
        )
        if len(found) > 1:
            return None  # 2.29 to 2.33 have the cache's own address there, one for each thread
    key = next(iter(found), None)
    return key if key is not None and key >> 48 else None


def _is_link(entry: int, link: int, count: int) -> bool:
    """Whether a freed block's first word leads to another block, or to none where it is the last one."""
    following = link ^ (entry >> 12)
    return following == 0 if count == 1 else following != 0 and following % 16 == 0 and following >> 47 == 0


def _earlier(raw: bytes) -> list[tuple[int, int]]:
    """(first block, number of blocks) of the lists of a cache up to 2.41; none where the bytes are no cache."""
    counts = struct.unpack_from(f"<{_BINS}H", raw)
    entries = struct.unpack_from(f"<{_BINS}Q", raw, 2 * _BINS)
    if any(count > _MOST_COUNTED or bool(count) != bool(entry) for count, entry in zip(counts, entries, strict=True)):
        return []
    return [(entry, count) for count, entry in zip(counts, entries, strict=True) if entry]


def _later(raw: bytes) -> list[tuple[int, int]]:
    """The same of a cache since 2.42: each list starts with as many places, and one without a block has them all."""
    left = struct.unpack_from(f"<{_LATER_BINS}H", raw)
    entries = struct.unpack_from(f"<{_LATER_BINS}Q", raw, 2 * _LATER_BINS)
    most = max(left)
    if not 0 < most <= _MOST_COUNTED or any(
        (places < most) != bool(entry) for places, entry in zip(left, entries, strict=True)
    ):
        return []
    # Those behind are of blocks of many sizes, in their order.
    return [(entry, most - places) for places, entry in zip(left[:_BINS], entries, strict=False) if entry]


def _caches(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> Iterator[bytes]:
    """What lies in chunks of a cache's size near the start of a writable mapping or of an arena's heap."""
    total = 0
    for segment in core.segments[: LIMITS.arenas_limit]:
        if segment.permissions == "rw-" and segment.dumped:
            raw = space.read_some(segment.start, min(segment.end - segment.start, LIMITS.freed_cache_head))
            yield from _chunks(raw[:_TLS_BEFORE], _CHUNK | _IN_MAIN, _SIZE)
            if total <= LIMITS.freed_cache_total:
                yield from _chunks(raw, _LATER_CHUNK | _IN_MAIN, _LATER_SIZE)
            total += len(raw)
    total = 0
    for heap in heaps:
        raw = space.read_some(heap.start, min(heap.size, LIMITS.freed_cache_head))
        yield from _chunks(raw[:_ARENA_HEAD], _CHUNK | _IN_ARENA, _SIZE)
        if total <= LIMITS.freed_cache_total:
            yield from _chunks(raw, _LATER_CHUNK | _IN_ARENA, _LATER_SIZE)
        total += len(raw)


def _chunks(raw: bytes, head: int, size: int) -> Iterator[bytes]:
    """The contents of chunks with this size and flags in what starts at a page."""
    sought = struct.pack("<Q", head)
    at = -1
    for _ in range(LIMITS.freed_cache_candidates):
        at = raw.find(sought, at + 1)
        if at < 0:
            return
        content = raw[at + 8 : at + 8 + size]
        if at % 16 == _LINK and len(content) == size:
            yield content
