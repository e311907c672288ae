"""Files of fsspec URLs: what is small is copied, of a large core only the ranges that its analysis reads.

The worker that analyzes has no network. It reads a sparse file of the core's size, and asks its parent for the bytes
that it reads for the first time; the parent fetches them into that file.
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

GRANULE = 1 << 16
"""Bytes that are fetched at least."""
_PIECE = 1 << 22
_FAILURES = 3
"""Fetches that may fail before the rest of the file is taken for unreachable."""


def listed(system: Any, root: str) -> list[str]:
    """The files that a path or pattern names. Raises what the file system raises.

    Not by isdir(): over HTTP that fetches the file, to look for links in it.
    """
    try:
        kind = "directory" if root.endswith("/") else system.info(root)["type"]
    except FileNotFoundError:
        if not glob.has_magic(root):
            raise
        return sorted(system.glob(root))
    return sorted(system.find(root)) if kind == "directory" else [root]


def opened(system: Any, name: str) -> IO[bytes]:
    """A remote file read by range, each read a request. Raises what the file system raises, which is its own.

    ValueError: it gives no ranges.
    """
    file: IO[bytes] = system.open(name, "rb", block_size=GRANULE, cache_type="none")
    try:
        size = getattr(file, "size", None)
        if size is None:
            raise ValueError("the server does not tell the size of the file")
        if size:
            file.seek(size - 1)
            file.read(1)
            file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def copy(file: IO[bytes], size: int, target: Path) -> None:
    """All of an opened remote file. Raises OSError, and what the file system raises."""
    _make_room(size, target)
    file.seek(0)
    with target.open("wb") as sink:
        while piece := file.read(_PIECE):
            sink.write(piece)


def stream(system: Any, name: str, target: Path) -> None:
    """All of a remote file whose server gives no ranges. Raises OSError, and what the file system raises."""
    from fsspec.callbacks import Callback

    class Bounded(Callback):  # type: ignore[misc]
        left = _room(target)

        def relative_update(self, inc: int = 1) -> None:
            self.left -= inc
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    try:
        system.get_file(name, str(target), callback=Bounded())
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _room(target: Path) -> int:
    return max(shutil.disk_usage(target.parent).free - LIMITS.disk_reserve, 0)


def _make_room(size: int, target: Path) -> None:
    if size > _room(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def ranges(url: str, size: int, folder: Path) -> Iterator[tuple[Path, Ranges]]:
    """(a sparse file of the size of the remote one, who fills it). folder: for that file, where it is here.

    Raises what the file system raises.
    """
    from fsspec.core import url_to_fs

    system, name = url_to_fs(url)
    directory = folder if os.access(folder, os.W_OK) else None
    with opened(system, name) as source, tempfile.NamedTemporaryFile(prefix="ranges-", dir=directory) as sparse:
        os.truncate(sparse.fileno(), size)
        supplied = Ranges(source, sparse.fileno(), size)
        supplied(0, 1)
        yield Path(sparse.name), supplied


class Ranges:
    """Fills a file by ranges of a remote one, each granule once, up to LIMITS.fetched_bytes."""

    def __init__(self, source: IO[bytes], target: int, size: int) -> None:
        self._source, self._target, self._size = source, target, size
        self._here: set[int] = set()
        self._failures = 0
        self.fetched = 0

    def __call__(self, offset: int, size: int) -> int:
        """Bring what is missing of these bytes; 0, or the errno of why they can't be had."""
        end = min(offset + size, self._size)
        if not 0 <= offset < end:
            return errno.EINVAL
        for start, stop in self._missing(offset // GRANULE, -(-end // GRANULE)):
            failure = self._fetch(start * GRANULE, min(stop * GRANULE, self._size))
            if failure:
                return failure
            self._here.update(range(start, stop))
        return 0

    def _missing(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of granules that are not here, none longer than a piece."""
        start = first
        while start < end:
            stop = start
            while stop < end and stop not in self._here and stop - start < _PIECE // GRANULE:
                stop += 1
            if stop > start:
                yield start, stop
            start = max(stop, start + 1)

    def _fetch(self, start: int, end: int) -> int:
        if self._failures >= _FAILURES:
            return errno.EIO
        if self.fetched + end - start > LIMITS.fetched_bytes:
            return errno.EFBIG
        self.fetched += end - start
        try:
            self._source.seek(start)
            data = self._source.read(end - start)
        except Exception:  # what a file system raises is its own
            self._failures += 1
            return errno.EIO
        if len(data) != end - start:
            self._failures += 1
            return errno.EIO
        try:
            if data.count(0) != len(data):
                os.pwrite(self._target, data, start)
        except OSError as error:
            return error.errno or errno.EIO
        return 0
