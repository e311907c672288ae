"""The members of a zip archive, in the order of its directory, within the bounds that tarballs have.

Its directory is read whole before anything else, so what it claims to be is looked at first. What is a program or a
document (jar, apk, docx) has no crash in it, but thousands of members. LZMA is left out: what a member claims to need
for it is memory that is taken before its first byte is read.
"""

from __future__ import annotations

import os
import time
import zipfile
import zlib
from contextlib import contextmanager, suppress
from struct import error as StructError
from struct import unpack_from
from typing import IO, TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.triage.tarballs import HEAD, PIECE, Budget, Damaged, Left

if TYPE_CHECKING:
    from collections.abc import Iterator

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_PROGRAMS = frozenset({"META-INF/MANIFEST.MF", "AndroidManifest.xml", "[Content_Types].xml", "mimetype"})
_ENCRYPTED = 1
_END, _END64, _LOCATOR64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_LAST = (1 << 16) + 22 + 20
"""Bytes in which the end of the directory, a comment behind it and the locator before it lie."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, RuntimeError, StructError)
"""RuntimeError, and its NotImplementedError: encrypted, or compressed in a way that is not known."""


class Member:
    """As tarballs.Member."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> None:
        self.shown = _shown(info)
        self.size = info.file_size
        self.time = 0.0
        with suppress(ValueError, OverflowError):
            self.time = max(time.mktime((*info.date_time, 0, 0, -1)), 0.0)  # it has no zone: that of this machine
        self._archive, self._info, self._budget = archive, info, budget
        with _told(), archive.open(info) as source:
            self.head = source.read(HEAD)

    def skip(self) -> None:
        """It is not wanted. Raises Damaged when too much of the archive is not."""
        self._budget.passed(len(self.head))

    def unpack(self, target: IO[bytes]) -> None:
        """Its bytes, with holes where there are zeros. Raises Damaged when they don't fit."""
        self._budget.unpacked(self.size)
        with _told(), self._archive.open(self._info) as source:
            while piece := source.read(PIECE):
                if piece.count(0) == len(piece):
                    target.seek(len(piece), os.SEEK_CUR)
                    continue
                self._budget.written(target, len(piece))
                target.write(piece)
            target.truncate(self.size)


def is_zip(head: bytes) -> bool:
    """By the magic of a member, or of an empty directory."""
    return head[:4] in (b"PK\3\4", _END)


def members(file: IO[bytes]) -> Iterator[Member | Left]:
    """In their order. Raises Damaged, OSError."""
    budget = Budget()
    with _told():
        _check(file)
        archive = zipfile.ZipFile(file)
    with archive:
        infos = archive.infolist()
        if any(info.filename in _PROGRAMS for info in infos[:100]):
            return
        for info in infos:
            if info.is_dir():
                continue
            if info.file_size == 0:
                yield Left(_shown(info), "is empty")
            elif info.flag_bits & _ENCRYPTED:
                yield Left(_shown(info), "is encrypted")
            elif info.compress_type not in _METHODS:
                yield Left(_shown(info), f"is compressed by method {info.compress_type}, which is not read")
            else:
                yield Member(archive, info, budget)


def _shown(info: zipfile.ZipInfo) -> str:
    return info.filename.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _check(file: IO[bytes]) -> None:
    """Raises Damaged when the directory claims to be larger than one that is read."""
    size = file.seek(0, os.SEEK_END)
    start = max(size - _LAST, 0)
    file.seek(start)
    last = file.read(_LAST)
    at = last.rfind(_END)
    if at < 0:
        raise Damaged("is cut: it has no directory")
    number, length = unpack_from("<HI", last, at + 10)
    if last[max(at - 20, 0) : at][:4] == _LOCATOR64:
        (offset,) = unpack_from("<Q", last, at - 12)
        file.seek(min(offset, size))
        end = file.read(56)
        if end[:4] != _END64:
            raise Damaged("is damaged: the end of its directory is not where it is said to be")
        number, length = unpack_from("<QQ", end, 32)
    if number > LIMITS.tarball_members or length > LIMITS.zip_directory_bytes:
        raise Damaged(f"has a directory of {number} members and {length} bytes, more than are read")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise Damaged(f"is damaged: {error}") from None
