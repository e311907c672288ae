"""Heaps of glibc's non-main malloc arenas (malloc/arena.c, heap_info).

Each heap begins at a multiple of HEAP_MAX_SIZE (64 MiB on 64-bit) with {ar_ptr, prev, size, mprotect_size};
the first heap of an arena has its malloc_state behind that, so ar_ptr points into a heap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Address
from postmortem.model.report import Arena

if TYPE_CHECKING:
    from parsers.elf.core import Core
    from postmortem.memory import AddressSpace

HEAP_MAX = 64 << 20
_LIMIT = 65_536


def arenas(core: Core, space: AddressSpace) -> tuple[Arena, ...]:
    """One entry per heap, ascending."""
    found: list[Arena] = []
    for segment in core.segments:
        if len(found) >= _LIMIT:
            break
        if segment.start % HEAP_MAX or segment.permissions != "rw-" or not segment.dumped:
            continue
        words = space.words(segment.start, 4)
        if words is None:
            continue
        arena, previous, size, _ = words
        sane = 0 < size <= HEAP_MAX and size % 4096 == 0 and previous % HEAP_MAX == 0
        in_heap = 0x20 <= arena % HEAP_MAX < 0x1000 and (
            previous or arena - arena % HEAP_MAX == segment.start
        )
        if sane and in_heap:
            found.append(Arena(start=Address(segment.start), size=size))
    return tuple(found)
