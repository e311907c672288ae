"""The word by which glibc 2.34 to 2.41 mark a block in a thread's cache of freed blocks (malloc/malloc.c, tcache_key).

It is one random number for the whole process, behind the link of each such block, and is cleared when the block is
given out again. The cache itself (tcache_perthread_struct {uint16_t counts[64]; tcache_entry *entries[64];}) is the
first block of the heap, or lies behind the malloc_state of an arena; of a static executable the TLS block of its first
thread lies before it. A link is the next block's address, or 0, xor its own address >> 12: a block whose link is
something else was written to, and its word is not the mark.
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
_SIZE_WORD = struct.pack("<Q", _CHUNK | 1)
"""The size of the cache's chunk; the one before it counts as in use."""
_TLS_BEFORE = 0x2000
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
        found.update(
            word
            for count, entry in zip(counts, entries, strict=True)
            if entry and (words := space.words(entry, 2)) and (word := words[1]) and _is_link(entry, words[0], count)
        )
        if len(found) > 1:
            return None  # 2.29 to 2.33 have the cache's own address there, one for each thread
    key = next(iter(found), None)
    return key if key is not None and key >> 48 else None


def _is_link(entry: int, link: int, count: int) -> bool:
    """Whether a freed block's first word leads to another block, or to none where it is the last one."""
    following = link ^ (entry >> 12)
    return following == 0 if count == 1 else following != 0 and following % 16 == 0 and following >> 47 == 0


def _caches(core: Core, space: AddressSpace, heaps: Iterable[Arena]) -> Iterator[int]:
    """Where a chunk of the cache's size lies at the start of a heap or arena."""
    for segment in core.segments[: LIMITS.arenas_limit]:
        if segment.permissions == "rw-" and segment.dumped:
            raw = space.read_some(segment.start, _TLS_BEFORE)
            at = raw.find(_SIZE_WORD)
            while at >= 0:
                if at % 16 == _LINK:
                    yield segment.start + at - _LINK + _HEADER
                at = raw.find(_SIZE_WORD, at + 1)
    for heap in heaps:
        raw = space.read_some(heap.start, min(_ARENA_HEAD, heap.size))
        for index, (word,) in enumerate(struct.iter_unpack("<Q", raw[: len(raw) & ~7])):
            if word & ~_FLAGS == _CHUNK and word & _FLAGS == 5:
                yield heap.start + 8 * index + 8
                break
