"""Memory of glibc's malloc beside the main heap: non-main arenas and blocks mapped on their own (malloc/).

Each heap of an arena (arena.c, heap_info) begins at a multiple of HEAP_MAX_SIZE (64 MiB on 64-bit) with {ar_ptr, prev,
size, mprotect_size}; the first heap of an arena has its malloc_state behind that, so ar_ptr points into a heap.

A block from the threshold on (malloc.c, sysmalloc_mmap) is a mapping of its own that begins with {prev_size 0, size |
IS_MMAPPED}, its size whole pages; 2.43 takes off the 16 bytes of the header. The kernel joins neighbours to one
mapping, so that they lie there one after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model import Address
from postmortem.model.report import Arena

if TYPE_CHECKING:
    from parsers.elf.core import Core, Segment
    from postmortem.program.memory import AddressSpace

HEAP_MAX = 64 << 20
THRESHOLD = 128 << 10
"""M_MMAP_THRESHOLD's default."""
ARENA, BLOCKS = "malloc arena", "malloc, large blocks"
_LIMIT = LIMITS.arenas_limit
_PAGE, _HEADER = 4096, 16
_IS_MMAPPED = 2


def kind(segment: Segment, space: AddressSpace) -> str | None:
    """ARENA or BLOCKS for a mapping that is malloc's. Looks at its first bytes, so ask for unknown ones only."""
    if segment.permissions != "rw-" or not segment.dumped:
        return None
    if _heap_size(segment, space) is not None:
        return ARENA
    size = segment.end - segment.start
    return BLOCKS if size > THRESHOLD and 2 * _blocks(segment, space) >= size else None


def _blocks(segment: Segment, space: AddressSpace) -> int:
    """How many bytes from the start of a mapping are blocks one after another."""
    position = segment.start
    for _ in range(min(_LIMIT, space.budget.left("list_items"))):
        space.budget.take("list_items")
        words = space.words(position, 2) if position < segment.end else None
        if words is None or words[0] or words[1] & 7 != _IS_MMAPPED:
            break
        size = words[1] - _IS_MMAPPED
        size += _HEADER if size % _PAGE == _PAGE - _HEADER else 0
        if size % _PAGE or not 0 < size <= segment.end - position:
            break
        position += size
    return position - segment.start


def arenas(core: Core, space: AddressSpace) -> tuple[Arena, ...]:
    """One entry per heap, ascending; the kernel may have joined it to the mapping before it."""
    found: list[Arena] = []
    left = _LIMIT
    for segment in core.segments:
        if segment.permissions != "rw-" or not segment.dumped:
            continue
        for start in range(-(-segment.start // HEAP_MAX) * HEAP_MAX, segment.start + segment.dumped, HEAP_MAX):
            left -= 1
            if left < 0:
                return tuple(found)
            size = _heap_at(start, space)
            if size is not None and start + size <= segment.end:
                found.append(Arena(start=Address(start), size=size))
    return tuple(found)


def _heap_size(segment: Segment, space: AddressSpace) -> int | None:
    """The size that the heap_info at the start of a mapping tells; None if there is none."""
    if segment.start % HEAP_MAX or segment.permissions != "rw-" or not segment.dumped:
        return None
    return _heap_at(segment.start, space)


def _heap_at(start: int, space: AddressSpace) -> int | None:
    words = space.words(start, 4)
    if words is None:
        return None
    arena, previous, size, _ = words
    sane = 0 < size <= HEAP_MAX and size % _PAGE == 0 and previous % HEAP_MAX == 0
    in_heap = 0x20 <= arena % HEAP_MAX < 0x1000 and (previous or arena - arena % HEAP_MAX == start)
    return size if sane and in_heap else None
