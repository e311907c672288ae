"""The address space of the dead process: core pages over module pages over 'absent'.

Reads return bytes or None; nothing here raises for an address, however wild. Only the pages that are
read are touched.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple, Protocol

from parsers.filebytes import BLOCK, FileBytes
from postmortem.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parsers.elf.header import Buffer

_WORD = struct.Struct("<Q")
_WORDS = [struct.Struct(f"<{count}Q") for count in range(17)]


def aligned(data: bytes, sought: bytes, start: int = 0) -> Iterator[int]:
    """Offsets of what is sought, from `start` on, where a word of 8 bytes begins."""
    at = data.find(sought, start)
    while at >= 0:
        if at % 8 == 0:
            yield at
        at = data.find(sought, at + 1)


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


class _Window(NamedTuple):
    """[start, end) of the address space lies at `offset` in a block of bytes."""

    start: int
    end: int
    block: bytes
    offset: int


class AddressSpace:
    """Pieces of memory, the core's own first. Implements Memory."""

    def __init__(self, core: Iterable[Piece], budget: Budget | None = None) -> None:
        """budget: what the run may still take, of text for one."""
        self.budget = budget or Budget()
        self._core = sorted(core, key=lambda piece: piece.start)
        self._core_starts = [piece.start for piece in self._core]
        self._files: list[Piece] = []
        self._file_starts: list[int] = []
        self._unsorted = False
        self._reads = self.budget.limits.reads
        self._last = _Window(0, 0, b"", 0)

    def add_file(self, piece: Piece) -> None:
        """Lay a module's pages under the core's."""
        self._files.append(piece)
        self._unsorted = True

    def _sort_files(self) -> None:
        self._files.sort(key=lambda piece: piece.start)
        self._file_starts = [piece.start for piece in self._files]
        self._unsorted = False

    def _find(self, address: int) -> Piece | None:
        index = bisect_right(self._core_starts, address) - 1
        if index >= 0:
            piece = self._core[index]
            if address < piece.end:
                return piece
        if self._unsorted:
            self._sort_files()
        index = bisect_right(self._file_starts, address) - 1
        if index >= 0:
            piece = self._files[index]
            if address < piece.end:
                return self._clear_of_core(piece, address)
        return None

    def _clear_of_core(self, piece: Piece, address: int) -> Piece:
        """What of a file's piece lies around `address` between the core's: these lie over it wherever they are."""
        following = bisect_right(self._core_starts, address)
        if following < len(self._core) and self._core[following].start < piece.end:
            piece = piece._replace(end=self._core[following].start)
        if following and self._core[following - 1].end > piece.start:
            start = self._core[following - 1].end
            piece = piece._replace(start=start, offset=piece.offset + start - piece.start)
        return piece

    def _part(self, address: int, size: int) -> bytes:
        """Up to `size` bytes at `address` out of one piece; what is small comes from a block that is kept at hand."""
        self._reads -= 1
        if self._reads < 0:
            self.budget.miss("reads")
            return b""
        piece = self._find(address)
        if piece is None:
            return b""
        buffer = piece.buffer
        begin = piece.offset + address - piece.start
        take = min(size, piece.end - address)
        if not isinstance(buffer, FileBytes):
            if isinstance(buffer, bytes):
                self._last = _Window(piece.start, piece.end, buffer, piece.offset)
            return bytes(buffer[begin : begin + take])
        if take > BLOCK or begin >= len(buffer):
            return buffer.read(begin, take)
        low, block = buffer.around(begin)
        shift = address - begin  # from an offset of the file to an address
        start = max(piece.start, low + shift)
        self._last = _Window(start, min(piece.end, low + len(block) + shift), block, start - shift - low)
        return block[begin - low : begin - low + take]

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at `address`, or None when not all of them are there."""
        start, end, block, offset = self._last
        if start <= address and address + size <= end and size > 0:
            begin = offset + address - start
            data = block[begin : begin + size]
            return data if len(data) == size else None
        data = self.read_some(address, size)
        return data if len(data) == size and size > 0 else None

    def read_some(self, address: int, size: int) -> bytes:
        """As many of `size` bytes at `address` as there are without a gap."""
        if size <= 0:
            return b""
        if size > self.budget.limits.read_bytes:
            self.budget.miss("read_bytes")
            return b""
        data = self._part(address, size)
        if len(data) == size or not data:
            return data
        parts = [data]
        size -= len(data)
        address += len(data)
        while size > 0:
            data = self._part(address, size)
            if not data:
                break
            parts.append(data)
            address += len(data)
            size -= len(data)
        return b"".join(parts)

    def word(self, address: int) -> int | None:
        """The unsigned 64-bit little-endian word at `address`."""
        start, end, block, offset = self._last
        if start <= address and address + 8 <= end:
            try:
                return _WORD.unpack_from(block, offset + address - start)[0]  # type: ignore[no-any-return]
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
        start, end, block, offset = self._last
        if count < len(_WORDS) and start <= address and address + 8 * count <= end:
            try:
                return _WORDS[count].unpack_from(block, offset + address - start)
            except struct.error:
                return None
        data = self.read(address, 8 * count)
        return None if data is None else struct.unpack(f"<{count}Q", data)

    def cstring(self, address: int, limit: int = 4096) -> bytes | None:
        """The bytes up to a NUL, at most `limit`; None when nothing is there or no NUL comes.

        None, too, when the run has taken as much text as it may.
        """
        data = self.read_some(address, min(limit, 256))
        end = data.find(b"\0")
        if end < 0 and len(data) == 256 and limit > 256:
            data = self.read_some(address, limit)
            end = data.find(b"\0")
        return None if end < 0 or not self.budget.take("text", end) else data[:end]
