"""The members of a tarball, compressed or not, read once from front to back.

A tarball is hostile input, too, and is read outside of the guarded worker: what a header may hold, how many members
there are, and how much is unpacked only to be passed over is bounded, and no member's name is used as a path.
"""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from parsers.containers import compressed
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 1 << 12
"""Bytes by which it is told what a member is."""
PIECE = 1 << 20
_AT = 257
_DAMAGE = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)


class Damaged(Exception):
    """The tarball can't be read any further; the argument says why."""


@dataclass(frozen=True, slots=True)
class Left:
    """A member that is not looked at, and why."""

    shown: str
    why: str


class Member:
    """A regular member of `size` bytes, which begins with `head`; to be used before the next one is asked for."""

    def __init__(self, shown: str, info: tarfile.TarInfo, source: IO[bytes], budget: Budget) -> None:
        self.shown = shown
        self.size = info.size
        self.time = float(info.mtime)
        self._info = info
        self._source = source
        self._budget = budget
        self.head = source.read(HEAD)

    def skip(self) -> None:
        """It is not wanted. Raises Damaged when too much of the tarball is not."""
        self._budget.passed(self.size)

    def unpack(self, target: IO[bytes]) -> None:
        """Its bytes, with holes where there are zeros. Raises Damaged when they don't fit."""
        self._budget.unpacked(self.size)
        target.write(self.head)
        with _told():
            sparse: Any = self._info.sparse
            position = len(self.head)
            for start, size in sparse or [(0, self.size)]:
                at, end = max(start, len(self.head)), min(start + size, self.size)
                if at < end and at != position:
                    self._source.seek(at)
                while at < end and (piece := self._source.read(min(PIECE, end - at))):
                    if piece.count(0) < len(piece):
                        self._budget.written(target, len(piece))
                        target.seek(at)
                        target.write(piece)
                    position = at = at + len(piece)
            target.truncate(self.size)


class Budget:
    """What the archive has taken so far. Each method raises Damaged when it is too much."""

    def __init__(self) -> None:
        self._unpacked = self._passed = 0

    def unpacked(self, size: int) -> None:
        """So many bytes are to be unpacked."""
        self._unpacked += size
        if self._unpacked > LIMITS.decompressed_bytes:
            raise Damaged(f"unpacks to more than {LIMITS.decompressed_bytes} bytes")

    def passed(self, size: int) -> None:
        """So many bytes were not wanted."""
        self._passed += size
        if self._passed > LIMITS.tarball_bytes_passed:
            raise Damaged(f"has more than {LIMITS.tarball_bytes_passed} bytes that are no crash")

    @staticmethod
    def written(target: IO[bytes], size: int) -> None:
        """So many bytes are to be written."""
        state = os.fstatvfs(target.fileno())
        if state.f_bavail * state.f_frsize < LIMITS.disk_reserve + size:
            raise Damaged("does not fit on the disk that the output is on")


def is_tar(head: bytes) -> bool:
    """By the magic of POSIX and GNU, which are the same in their first five bytes."""
    return head[_AT : _AT + 5] == b"ustar"


def members(file: IO[bytes]) -> Iterator[Member | Left]:
    """In their order. Raises Damaged, OSError."""
    budget = Budget()
    with _told(), _opened(file) as archive:
        number = 0
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # nobody asks for one again
            number += 1
            if number > LIMITS.tarball_members:
                raise Damaged(f"has more than {LIMITS.tarball_members} members")
            if info.isdir():
                continue
            shown = info.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            source = archive.extractfile(info) if info.isreg() and info.size > 0 else None
            if source is None:
                budget.passed(info.size)
                yield Left(shown, "is empty" if info.isreg() else "is not a regular file")
            else:
                yield Member(shown, info, source, budget)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise Damaged(f"is damaged: {error}") from None


def _opened(file: IO[bytes]) -> tarfile.TarFile:
    file.seek(0)
    kind = compressed.compression(file.read(8))
    file.seek(0)
    stream = file if kind is None else io.BufferedReader(_Decompressed(file, kind), PIECE)
    archive = tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header)  # noqa: SIM115 - the caller's
    # Forwards, it can: over the holes of sparse members.
    forwards: Any = archive.fileobj
    forwards.seekable = lambda: True
    return archive


class _Decompressed(io.RawIOBase):
    """The decompressed bytes of a file as one that is read from front to back."""

    def __init__(self, file: IO[bytes], kind: str) -> None:
        self._pieces = compressed.chunks(file, kind)
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any, /) -> int:
        view = memoryview(into)
        self._held = self._held or next(self._pieces, b"")
        size = min(len(view), len(self._held))
        view[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


class _Header(tarfile.TarInfo):
    """A header with the ones that belong to it (long names, attributes, maps of holes), which may hold so much."""

    def _proc_member(self, archive: Any) -> Any:
        if self.size < 0:
            raise tarfile.ReadError(f"a member of {self.size} bytes")
        whole = archive.fileobj
        if isinstance(whole, _Bounded):
            return super()._proc_member(archive)  # type: ignore[misc]
        archive.fileobj = _Bounded(whole)
        try:
            return super()._proc_member(archive)  # type: ignore[misc]
        finally:
            archive.fileobj = whole


class _Bounded:
    """A file of which so much may be read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = LIMITS.tarball_header_bytes

    def read(self, size: int) -> bytes:
        self._left -= size
        if size < 0 or self._left < 0:
            raise tarfile.ReadError(f"a header has more than {LIMITS.tarball_header_bytes} bytes")
        data: bytes = self._file.read(size)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
