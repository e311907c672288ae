"""The address space of the dead process: core pages over module pages over 'absent'.

Reads return bytes or None; nothing here raises for an address, however wild. Only the pages that are
read are touched.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_right, insort
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parsers.elf.header import Buffer

_WORD = struct.Struct("<Q")
_WORDS = [struct.Struct(f"<{count}Q") for count in range(17)]


class Memory(Protocol):
    """Anything that can be read by address."""

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at `address`, or None when not all of them are there."""


class Piece(NamedTuple):
    """[start, end) of the address space lies at `offset` in `buffer`."""

    start: int
    end: int
    buffer: Buffer
    offset: int


class AddressSpace:
    """Pieces of memory, the core's own first. Implements Memory."""

    def __init__(self, core: Iterable[Piece]) -> None:
        self._core = sorted(core, key=lambda piece: piece.start)
        self._core_starts = [piece.start for piece in self._core]
        self._files: list[Piece] = []
        self._file_starts: list[int] = []
        self._last = Piece(0, 0, b"", 0)

    def add_file(self, piece: Piece) -> None:
        """Lay a module's pages under the core's."""
        insort(self._files, piece, key=lambda other: other.start)
        self._file_starts = [other.start for other in self._files]

    def _find(self, address: int) -> Piece | None:
        last = self._last
        if last.start <= address < last.end:
            return last
        index = bisect_right(self._core_starts, address) - 1
        if index >= 0:
            piece = self._core[index]
            if address < piece.end:
                self._last = piece
                return piece
        index = bisect_right(self._file_starts, address) - 1
        if index >= 0:
            piece = self._files[index]
            if address < piece.end:
                # A core page above may begin inside this piece: never read across it.
                following = bisect_right(self._core_starts, address)
                if following < len(self._core) and self._core[following].start < piece.end:
                    piece = piece._replace(end=self._core[following].start)
                self._last = piece
                return piece
        return None

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at `address`, or None when not all of them are there."""
        piece = self._find(address)
        if piece is None or size <= 0:
            return None
        begin = piece.offset + address - piece.start
        if address + size <= piece.end:
            data = bytes(piece.buffer[begin : begin + size])
            return data if len(data) == size else None
        parts = []
        while size > 0:
            piece = self._find(address)
            if piece is None:
                return None
            take = min(size, piece.end - address)
            begin = piece.offset + address - piece.start
            part = bytes(piece.buffer[begin : begin + take])
            if len(part) != take:
                return None
            parts.append(part)
            address += take
            size -= take
        return b"".join(parts)

    def read_some(self, address: int, size: int) -> bytes:
        """As many of `size` bytes at `address` as there are without a gap."""
        parts = []
        while size > 0:
            piece = self._find(address)
            if piece is None:
                break
            take = min(size, piece.end - address)
            begin = piece.offset + address - piece.start
            part = bytes(piece.buffer[begin : begin + take])
            parts.append(part)
            if len(part) != take:
                break
            address += take
            size -= take
        return b"".join(parts)

    def release(self, address: int, size: int) -> None:
        """Give back the memory that reading this range has mapped: it will not be read again soon."""
        while size > 0:
            piece = self._find(address)
            if piece is None:
                return
            take = min(size, piece.end - address)
            if isinstance(piece.buffer, mmap.mmap):
                begin = piece.offset + address - piece.start
                first = begin + mmap.PAGESIZE - 1 & -mmap.PAGESIZE
                length = begin + take - first
                if length > 0 and first < len(piece.buffer):
                    piece.buffer.madvise(mmap.MADV_DONTNEED, first, length)
            address += take
            size -= take

    def word(self, address: int) -> int | None:
        """The unsigned 64-bit little-endian word at `address`."""
        last = self._last
        if last.start <= address and address + 8 <= last.end:
            try:
                (value,) = _WORD.unpack_from(last.buffer, last.offset + address - last.start)
                return int(value)
            except struct.error:
                return None
        data = self.read(address, 8)
        return None if data is None else int.from_bytes(data, "little")

    def unsigned(self, address: int, size: int) -> int | None:
        """An unsigned little-endian integer of `size` bytes."""
        data = self.read(address, size)
        return None if data is None else int.from_bytes(data, "little")

    def signed(self, address: int, size: int) -> int | None:
        """A signed little-endian integer of `size` bytes."""
        data = self.read(address, size)
        return None if data is None else int.from_bytes(data, "little", signed=True)

    def words(self, address: int, count: int) -> tuple[int, ...] | None:
        """`count` consecutive unsigned 64-bit words."""
        last = self._last
        if count < len(_WORDS) and last.start <= address and address + 8 * count <= last.end:
            try:
                return _WORDS[count].unpack_from(last.buffer, last.offset + address - last.start)
            except struct.error:
                return None
        data = self.read(address, 8 * count)
        return None if data is None else struct.unpack(f"<{count}Q", data)

    def cstring(self, address: int, limit: int = 4096) -> bytes | None:
        """The bytes up to a NUL, at most `limit`; None when nothing is there or no NUL comes."""
        data = self.read_some(address, min(limit, 256))
        end = data.find(b"\0")
        if end < 0 and len(data) == 256 and limit > 256:
            data = self.read_some(address, limit)
            end = data.find(b"\0")
        return None if end < 0 else data[:end]
