"""The bytes of an open file, read by pread through blocks that are kept.

Not a mapping: a page of a mapped file that can't be had (the file was cut meanwhile, its tmpfs is full, the disk
fails) ends the process with SIGBUS, which no Python handler ever sees. Here such bytes are absent, and `lost` names
them. A hole reads as zeros.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar, NamedTuple, overload

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

BLOCK_BITS = 12
BLOCK = 1 << BLOCK_BITS
_RUN = 16
"""Blocks that are read at once where they are asked for one after the other, as in a walk along a deep stack."""
_LARGEST_STEP = 1 << 20


class Loss(NamedTuple):
    """Bytes [offset, offset + size) could not be read; errno is 0 where the file ended before them."""

    offset: int
    size: int
    errno: int


class FileBytes:
    """A file of `size` bytes as a buffer: len(), slices, find(). Owns its descriptor.

    reopen gives a descriptor of the same file once more, so that not all files stay open; without it this one does.
    supply, asked before bytes are read for the first time, brings them where the file is a remote one's copy that is
    filled as it is read; it gives 0, or the errno of why they can't be had.
    Reads beyond what the file still has are short and noted in `lost`. Raises nothing for a failing disk.
    """

    _open: ClassVar[dict[int, FileBytes]] = {}
    """Those that hold a descriptor which they can reopen, oldest first."""

    def __init__(
        self,
        descriptor: int,
        size: int,
        reopen: Callable[[], int | None] | None = None,
        supply: Callable[[int, int], int] | None = None,
    ) -> None:
        self._descriptor: int | None = descriptor
        self._size = size
        self._reopen = reopen
        self._supply = supply
        self._blocks: dict[int, bytes] = {}
        self._latest = -2
        self._run = (0, b"")
        self.lost: list[Loss] = []
        if reopen is not None:
            self._take_turn()

    def _take_turn(self) -> None:
        held = FileBytes._open
        while len(held) >= LIMITS.open_files:
            held[next(iter(held))]._release()
        held[id(self)] = self

    def _release(self) -> None:
        FileBytes._open.pop(id(self), None)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def close(self) -> None:
        """Give back the descriptor and the blocks. What is read afterwards is absent."""
        self._release()
        self._reopen = None
        self._blocks.clear()
        self._run = (0, b"")

    def __enter__(self) -> FileBytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._descriptor is not None and FileBytes._open is not None:
            self._release()

    def __len__(self) -> int:
        return self._size

    def _pread(self, offset: int, size: int) -> bytes:
        """What the file gives of these bytes, which lie inside its size."""
        if self._descriptor is None and self._reopen is not None:
            self._descriptor = self._reopen()
            if self._descriptor is not None:
                self._take_turn()
        failure = 0 if self._supply is None else self._supply(offset, size)
        parts = []
        at, left = offset, size
        while left and self._descriptor is not None and not failure:
            try:
                part = os.pread(self._descriptor, left, at)
            except OSError as error:
                failure = error.errno or 0
                break
            if not part:
                break
            parts.append(part)
            at += len(part)
            left -= len(part)
        if left and len(self.lost) < LIMITS.losses_listed:
            self.lost.append(Loss(at, left, failure))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def around(self, offset: int) -> tuple[int, bytes]:
        """(start, bytes) of a whole block, or a run of them, that holds an offset inside the file."""
        number = offset >> BLOCK_BITS
        start = number << BLOCK_BITS
        block = self._blocks.get(number)
        if block is not None:
            return start, block
        run_start, run = self._run
        if run_start <= offset < run_start + len(run):
            return self._run
        if number == self._latest + 1:
            run = self._pread(start, min(_RUN * BLOCK, self._size - start))
            self._latest = number + _RUN - 1
            self._run = start, run
            return self._run
        if len(self._blocks) >= LIMITS.blocks_kept:
            self._blocks.clear()
        block = self._blocks[number] = self._pread(start, min(BLOCK, self._size - start))
        self._latest = number
        return start, block

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer where the file ends or can't be read."""
        end = min(offset + size, self._size)
        if offset < 0 or end <= offset:
            return b""
        if end <= (offset | (BLOCK - 1)) + 1:
            start, block = self.around(offset)
            return block[offset - start : end - start]
        return self._pread(offset, end - offset)

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...
    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, slice):
            start, stop, step = place.indices(self._size)
            if step != 1:
                raise ValueError("only whole ranges of a file can be had")
            return self.read(start, stop - start)
        return self.read(range(self._size)[place], 1)[0]

    def pieces(self, start: int, end: int, first: int = _LARGEST_STEP, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of [start, end) one after the other, growing from `first` bytes to 1 MiB.

        Each begins with the last `overlap` bytes of the one before. Ends early where the file can't be read.
        """
        end = min(end, self._size)
        step = first
        while start < end:
            data = self.read(start, min(step, end - start))
            yield start, data
            if len(data) < min(step, end - start) or start + len(data) >= end:
                return
            start += max(len(data) - overlap, 1)
            step = min(4 * step, _LARGEST_STEP)

    def find(self, wanted: bytes, start: int = 0, end: int | None = None) -> int:
        """The offset of the first occurrence in [start, end), or -1."""
        overlap = len(wanted) - 1
        for offset, data in self.pieces(start, self._size if end is None else end, max(BLOCK, 2 * overlap), overlap):
            at = data.find(wanted)
            if at >= 0:
                return offset + at
        return -1
