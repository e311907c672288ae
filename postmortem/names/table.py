"""A symbol table that is searched without being parsed: sorted arrays and a string table in one buffer.

Layout, little-endian: magic (8 bytes), count u32, CRC-32 of the rest u32, length of the rest u64, then
count × u64 starts (ascending), count × u32 sizes, count × u32 name offsets (ascending), count × u8 st_info,
then NUL-separated names, first byte NUL.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from postmortem.names.demangle import demangle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parsers.elf.symbol_tables import Entry

MAGIC = b"PMSYM\x00\x02\n"
_HEAD = struct.Struct("<8sIIQ")
_LOOK_BACK = 16


def build(entries: Iterable[Entry]) -> bytes:
    """The table's bytes. Of symbols with one start, the first in order of preference comes last."""
    ordered = sorted(entries, key=_preference)
    names = bytearray(b"\0")
    offsets = []
    for entry in ordered:
        offsets.append(len(names))
        names += entry.name + b"\0"
    count = len(ordered)
    body = b"".join(
        (
            struct.pack(f"<{count}Q", *(entry.value & 0xFFFFFFFFFFFFFFFF for entry in ordered)),
            struct.pack(f"<{count}I", *(min(entry.size, 0xFFFFFFFF) for entry in ordered)),
            struct.pack(f"<{count}I", *offsets),
            bytes(entry.info for entry in ordered),
            bytes(names),
        )
    )
    return _HEAD.pack(MAGIC, count, zlib.crc32(body), len(body)) + body


def _preference(entry: Entry) -> tuple[int, bool, bool, int, int, bytes]:
    """Ascending start; among equals the best last: sized, a function, global over weak over local, fewer underscores."""
    binding = {1: 2, 2: 1}.get(entry.info >> 4, 0)
    underscores = len(entry.name) - len(entry.name.lstrip(b"_"))
    return (entry.value, entry.size > 0, entry.info & 15 in (2, 10), binding, -underscores, entry.name)


class SymbolTable:
    """A table over bytes that `build` made. Raises ValueError for any others."""

    def __init__(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        if len(view) < _HEAD.size:
            raise ValueError("too short")
        magic, count, crc, length = _HEAD.unpack_from(view)
        body = view[_HEAD.size :]
        if magic != MAGIC or length != len(body) or count * 17 + 1 > length or zlib.crc32(body) != crc:
            raise ValueError("not a symbol table, or damaged")
        self._starts = body[: 8 * count].cast("Q")
        self._sizes = body[8 * count : 12 * count].cast("I")
        self._names = body[12 * count : 16 * count].cast("I")
        self._infos = body[16 * count : 17 * count]
        self._strings = bytes(body[17 * count :])

    def __len__(self) -> int:
        return len(self._starts)

    def _name(self, index: int) -> str:
        start = self._names[index]
        return self._strings[start : self._strings.find(b"\0", start)].decode("utf-8", "backslashreplace")

    def find(self, address: int, *, data: bool = False) -> tuple[str, int, int] | None:
        """(raw name, start, size) of the symbol that covers a link-time address; functions only, unless `data`."""
        index = bisect_right(self._starts, address) - 1
        for candidate in range(index, max(-1, index - _LOOK_BACK), -1):
            start, size = self._starts[candidate], self._sizes[candidate]
            kind = self._infos[candidate] & 15
            if not data and kind == 1:
                continue
            if size > address - start:
                return self._name(candidate), start, size
            if size == 0 and kind in (0, 2) and start == self._starts[index] and address - start < 0x1000:
                # Assembler labels have no size: they reach to the next symbol.
                return self._name(candidate), start, 0
        return None

    def address_of(self, name: str) -> int | None:
        """The link-time address of a symbol by its raw name."""
        at = self._strings.find(b"\0" + name.encode() + b"\0")
        if at < 0:
            return None
        index = bisect_left(self._names, at + 1)
        if index >= len(self._names) or self._names[index] != at + 1:
            return None
        return self._starts[index]

    def with_prefix(self, prefix: str) -> Iterator[tuple[str, int, int]]:
        """(raw name, start, size) of all symbols whose raw name begins with `prefix`."""
        wanted = b"\0" + prefix.encode()
        at = self._strings.find(wanted)
        while at >= 0:
            index = bisect_left(self._names, at + 1)
            if index < len(self._names) and self._names[index] == at + 1:
                yield self._name(index), self._starts[index], self._sizes[index]
            at = self._strings.find(wanted, at + 1)


def readable(found: tuple[str, int, int] | None) -> tuple[str, int, int] | None:
    """A found symbol with its name demangled."""
    return None if found is None else (demangle(found[0]), found[1], found[2])
