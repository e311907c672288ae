"""A symbol table that is searched without being parsed: sorted arrays and a string table in one buffer.

Layout, little-endian: magic (8 bytes), count u32, zero u32, then count × u64 starts (ascending),
count × u32 extents in bytes (at most 2³²-1), count × u32 enclosing (index + 1 of the nearest earlier symbol
that ends later, 0 for none), count × u32 name offsets (ascending), count × u32 CRC-32 of the names (ascending),
count × u32 the index of the symbol that has it, count × u8 flags (bit 0: the symbol has no size, its extent is up to
the next one; bits 1 and 2: local 0, weak 1, global 2), then NUL-separated names, first byte NUL.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.symbols.demangle import demangle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parsers.elf.symbols import Entry

MAGIC = b"PMSYM\x00\x04\n"
_HEAD = struct.Struct("<8sII")
_PER_SYMBOL = 8 + 4 + 4 + 4 + 4 + 4 + 1
_SIZELESS = 1
_BINDINGS = {1: 2, 2: 1, 10: 2}
"""STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE; all others count as local."""
_NESTING = LIMITS.table_nesting
_REACH_WITHOUT_SECTION = 0x1000
_U32 = 0xFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF


def build(entries: Iterable[Entry]) -> bytes:
    """The table's bytes. Of symbols with one start, the first in order of preference comes last."""
    ordered = sorted(entries, key=_preference)
    names = bytearray(b"\0")
    offsets, flags = [], bytearray()
    for entry in ordered:
        offsets.append(len(names))
        names += entry.name + b"\0"
        flags.append((_SIZELESS if not entry.size else 0) | _BINDINGS.get(entry.info >> 4, 0) << 1)
    count = len(ordered)
    sums = sorted((zlib.crc32(entry.name), index) for index, entry in enumerate(ordered))
    return b"".join(
        (
            _HEAD.pack(MAGIC, count, 0),
            struct.pack(f"<{count}Q", *(entry.value & _U64 for entry in ordered)),
            struct.pack(f"<{count}I", *_extents(ordered)),
            struct.pack(f"<{count}I", *_enclosing(ordered)),
            struct.pack(f"<{count}I", *offsets),
            struct.pack(f"<{count}I", *(crc for crc, _ in sums)),
            struct.pack(f"<{count}I", *(index for _, index in sums)),
            flags,
            names,
        )
    )


def _preference(entry: Entry) -> tuple[int, bool, bool, int, int, bytes]:
    """Ascending start; then the best last: sized, function, global over weak over local, fewer underscores.

    glibc's names for its own calls, __GI_raise, come after those that programs know.
    """
    name = entry.name
    underscores = 16 if name.startswith(b"__GI_") else len(name) - len(name.lstrip(b"_"))
    binding = _BINDINGS.get(entry.info >> 4, 0)
    return (entry.value & _U64, entry.size > 0, entry.info & 15 in (2, 10), binding, -underscores, name)


def _extents(ordered: list[Entry]) -> list[int]:
    """Bytes each symbol covers. One without size (an assembler label) reaches to the next in its section."""
    extents = []
    following = None
    last_start = None
    for entry in reversed(ordered):
        start = entry.value & _U64
        if last_start is not None and start != last_start:
            following = last_start
        last_start = start
        extent = entry.size
        if not extent:
            end = entry.section_end or start + _REACH_WITHOUT_SECTION
            extent = max(0, (end if following is None else min(end, following)) - start)
        extents.append(min(extent, _U32))
    extents.reverse()
    return extents


def _enclosing(ordered: list[Entry]) -> list[int]:
    """For each symbol 1 + the index of the nearest earlier one that ends later; 0 when there is none."""
    result = []
    open_ends: list[tuple[int, int]] = []
    for index, entry in enumerate(ordered):
        end = (entry.value & _U64) + entry.size
        while open_ends and open_ends[-1][0] <= end:
            open_ends.pop()
        result.append(open_ends[-1][1] + 1 if open_ends else 0)
        open_ends.append((end, index))
    return result


class SymbolTable:
    """A table over bytes that `build` made. Raises ValueError for any others."""

    def __init__(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        if len(view) < _HEAD.size:
            raise ValueError("too short")
        magic, count, _ = _HEAD.unpack_from(view)
        body = view[_HEAD.size :]
        if magic != MAGIC or count * _PER_SYMBOL + 1 > len(body):
            raise ValueError("not a symbol table, or damaged")
        self._starts = body[: 8 * count].cast("Q")
        self._extents = body[8 * count : 12 * count].cast("I")
        self._enclosing = body[12 * count : 16 * count].cast("I")
        self._names = body[16 * count : 20 * count].cast("I")
        self._sums = body[20 * count : 24 * count].cast("I")
        self._by_sum = body[24 * count : 28 * count].cast("I")
        self._flags = body[28 * count : 29 * count]
        self._strings = bytes(body[29 * count :])

    def __len__(self) -> int:
        return len(self._starts)

    def _name(self, index: int) -> str:
        start = self._names[index]
        return self._strings[start : self._strings.find(b"\0", start)].decode("utf-8", "backslashreplace")

    def find(self, address: int) -> tuple[str, int, int] | None:
        """(raw name, start, size) of the symbol that covers a link-time address.

        As in gdb, the innermost symbol with a size is preferred, then a label without one.
        """
        last = bisect_right(self._starts, address) - 1
        candidate = last
        for _ in range(_NESTING):
            if candidate < 0:
                break
            start, extent = self._starts[candidate], self._extents[candidate]
            if extent > address - start and not self._flags[candidate] & _SIZELESS:
                return self._name(candidate), start, extent
            # All between this one and its enclosing one end no later than this one does.
            candidate = min(self._enclosing[candidate], candidate) - 1
        if last >= 0 and self._flags[last] & _SIZELESS and self._extents[last] > address - self._starts[last]:
            return self._name(last), self._starts[last], 0
        return None

    def address_of(self, name: str) -> int | None:
        """The link-time address of a symbol by its raw name; of several a global one, else the lowest."""
        best: tuple[int, int] | None = None
        for index in self._named(name.encode("utf-8", "surrogateescape")):
            binding = self._flags[index] >> 1
            if best is None or binding > best[0]:
                best = binding, self._starts[index]
            if binding == max(_BINDINGS.values()):
                break
        return None if best is None else best[1]

    def with_prefix(self, prefix: str) -> Iterator[tuple[str, int, int]]:
        """(raw name, start, size) of all symbols whose raw name begins with `prefix`, by address."""
        for index in self._beginning(prefix.encode("utf-8", "surrogateescape")):
            size = 0 if self._flags[index] & _SIZELESS else self._extents[index]
            yield self._name(index), self._starts[index], size

    def _named(self, name: bytes) -> Iterator[int]:
        """Indices of symbols of that name, ascending."""
        crc = zlib.crc32(name)
        place = bisect_left(self._sums, crc)
        while place < len(self._sums) and self._sums[place] == crc:
            index = self._by_sum[place]
            place += 1
            if index < len(self._names) and self._strings.startswith(name + b"\0", self._names[index]):
                yield index

    def _beginning(self, text: bytes) -> Iterator[int]:
        """Indices of symbols whose name begins with `text`."""
        wanted = b"\0" + text
        at = self._strings.find(wanted)
        while at >= 0:
            index = bisect_left(self._names, at + 1)
            if index < len(self._names) and self._names[index] == at + 1:
                yield index
            at = self._strings.find(wanted, at + 1)


def readable(found: tuple[str, int, int] | None) -> tuple[str, int, int] | None:
    """A found symbol with its name demangled."""
    return None if found is None else (demangle(found[0]), found[1], found[2])
