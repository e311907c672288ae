"""Where to look for a text or an object in the memory of a dead process, the likely places first, with a budget.

A runtime's last words lie on the crashing stack, in what that points at, in the data of the runtime's module, or in a
small mapping of their own. A heap of gigabytes is searched last, up to a limit: the cost must not grow
with the heap.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parsers.elf.core import Core, Segment
    from postmortem.program.memory import AddressSpace

STACK = 256 << 10
"""Bytes of a stack above its pointer that are looked at."""
SMALL = 1 << 20
"""Mappings up to this size are searched whole, of larger ones their ends first."""
BUDGET = 64 << 20
"""Bytes of other memory that one search reads."""
_BELOW = 128
"""Bytes below the stack pointer that a function may use (the red zone of the psABI)."""
_PIECE = 4 << 20
_OVERLAP = 8192
_MOST_POINTERS = LIMITS.places_pointers
_POINTED = 4096


class Places:
    """Memory of one process in the order in which it is searched for the words of one thread."""

    def __init__(self, core: Core, space: AddressSpace, sp: int | None) -> None:
        """sp: stack pointer of the crashing thread's innermost frame."""
        self._core, self._space, self._sp = core, space, sp
        self.exhausted = False
        """The budget ended the last search before all memory was seen."""

    def stack(self, size: int = STACK) -> tuple[int, bytes]:
        """(address, bytes) of the crashing stack, from just below its pointer."""
        if self._sp is None:
            return 0, b""
        for start in ((self._sp & ~7) - _BELOW, self._sp & ~7):
            raw = self._space.read_some(start, size)
            if raw:
                return start, raw
        return 0, b""

    def pointed(self) -> Iterator[int]:
        """What words on the stack point at in writable memory beside it, each address once."""
        start, raw = self.stack(STACK // 4)
        seen: set[int] = set()
        for (word,) in struct.iter_unpack("<Q", raw[: len(raw) & ~7]):
            if word in seen or not 0x10000 <= word < 1 << 47 or start <= word < start + len(raw):
                continue
            seen.add(word)
            if len(seen) > _MOST_POINTERS:
                return
            if writable_at(self._core, word):
                yield word

    def near(self) -> Iterator[bytes]:
        """The crashing stack, and what it points at."""
        yield self.stack()[1]
        for word in self.pointed():
            yield self._space.read_some(word, _POINTED)

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """(address, bytes) in the order of the module's docstring; pieces overlap so that no text is cut in two."""
        self.exhausted = False
        yield self.stack()
        for word in self.pointed():
            yield word, self._space.read_some(word, _POINTED)
        left = BUDGET
        segments = [segment for segment in self._core.segments if segment.flags & 2 and segment.dumped]
        small = [segment for segment in segments if segment.dumped <= SMALL]
        large = [segment for segment in segments if segment.dumped > SMALL]
        ranges = [(segment.start, segment.dumped) for segment in small]
        for segment in large:
            ranges.append((segment.start, SMALL // 2))
            ranges.append((segment.start + segment.dumped - SMALL // 2, SMALL // 2))
        ranges += [(segment.start, segment.dumped) for segment in sorted(large, key=_size)]
        for start, size in ranges:
            at = start
            while at < start + size:
                if left <= 0:
                    self.exhausted = True
                    return
                length = min(_PIECE, start + size - at)
                left -= length
                yield at, self._space.read_some(at, min(length + _OVERLAP, start + size - at))
                at += length


def _size(segment: Segment) -> int:
    return segment.dumped


def writable_at(core: Core, address: int) -> bool:
    """Whether a writable mapping of the core holds an address."""
    from bisect import bisect_right

    at = bisect_right(core.segments, address, key=_start) - 1
    return at >= 0 and address < core.segments[at].end and bool(core.segments[at].flags & 2)


def _start(segment: Segment) -> int:
    return segment.start


def words_of(raw: bytes) -> Sequence[int]:
    """The 64-bit words of some bytes."""
    return struct.unpack(f"<{len(raw) // 8}Q", raw[: len(raw) & ~7])
