"""Whether CPython's allocator of small objects has a block on a list of free ones (Objects/obmalloc.c).

Pools lie at multiples of their size, 16 KiB since 3.10 and 4 KiB before. struct pool_header: u32 count of blocks in use
(8 bytes with padding), freeblock, nextpool, prevpool, u32 arenaindex, u32 szidx, u32 nextoffset, u32 maxnextoffset. A
block of size class i has 16 * (i + 1) bytes (since 3.7.4 and 3.8, on 64 bits); free ones are linked by their first
word, from freeblock on, and none behind nextoffset was ever given out.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.program.memory import AddressSpace

NAME = "CPython"
_SIZES = (1 << 14, 1 << 12)
_HEADER = struct.Struct("<QQQQIIII")
_HEAD = 48
_CLASSES, _UNIT = 32, 16


def freed(space: AddressSpace, address: int) -> bool:
    """Whether the block that holds an address is a free one of its pool."""
    for size in _SIZES:
        pool = address & ~(size - 1)
        data = space.read(pool, _HEADER.size)
        if data is None:
            continue
        count, free, following, previous, _, kind, next_offset, last = _HEADER.unpack(data)
        if kind >= _CLASSES or not following or not previous:
            continue
        block = _UNIT * (kind + 1)
        blocks = (size - _HEAD) // block
        if last != size - block or not _HEAD <= next_offset <= last + block or count & 0xFFFFFFFF > blocks:
            continue
        offset = address - pool - _HEAD
        if offset < 0 or (next_offset - _HEAD) % block:
            return False
        start = pool + _HEAD + offset // block * block
        for _ in range(blocks):
            if free == start:
                return True
            if not pool + _HEAD <= free < pool + next_offset:
                break
            free = space.word(free) or 0
        if start >= pool + next_offset:
            return True
        return start == address and _is_linked(space, start, pool, next_offset, block)
    return False


def _is_linked(space: AddressSpace, start: int, pool: int, end: int, block: int) -> bool:
    """Whether an object's block begins with the link to another one of its pool: a list that was damaged, as by freeing
    a block twice, does not lead to all of them.

    A living object begins with its count of references; before one that the garbage collector knows lie its links, so
    that such an object is not where its block begins.
    """
    link = space.word(start) or 0
    return link != start and pool + _HEAD <= link < pool + end and (link - pool - _HEAD) % block == 0
