"""Files kept by build-id between runs. Safe for concurrent use; a damaged file is made again.

A file gets its name when it is whole, so a reader sees a whole file or none, and a writer that is killed leaves
nothing behind. Whatever can't be written is simply made anew next time.

A file begins with 32 bytes, little-endian: magic (8 bytes, with the version of the layout), CRC-32 of what
follows the header u32, zero u32, length of what follows u64, zero u64.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterable

MAGIC = b"PMCACHE\x03"
_HEAD = struct.Struct("<8sIIQQ")
_LONGEST_KEY = LIMITS.cache_longest_key


def default_directory() -> Path | None:
    """$POSTMORTEM_CACHE, else postmortem under $XDG_CACHE_HOME, else under ~/.cache; None without a home."""
    named = os.environ.get("POSTMORTEM_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "postmortem"
    try:
        return Path.home() / ".cache" / "postmortem"
    except RuntimeError:
        return None


class Cache:
    """A directory of derived files; one that others can write to is not used."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory or default_directory()

    def path(self, key: str, kind: str) -> Path | None:
        """Where the file for a key lies. The key is hexadecimal, so it can't lead elsewhere."""
        if self._directory is None:
            return None
        safe = "".join(letter for letter in key if letter in "0123456789abcdef")[:_LONGEST_KEY]
        return self._directory / (safe[:2] or "0") / f"{safe[2:] or '0'}.{kind}"

    def read(self, key: str, kind: str) -> memoryview | None:
        """What was written for a key, mapped; None when there is none of ours or it is damaged."""
        path = self.path(key, kind)
        if path is None or self._directory is None or not _private(self._directory):
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                return None
            if status.st_size < _HEAD.size:
                return None
            content = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError):
            return None
        finally:
            os.close(descriptor)
        magic, crc, _, length, _ = _HEAD.unpack_from(content)
        body = content[_HEAD.size :]
        if magic != MAGIC or length != len(body) or zlib.crc32(body) != crc:
            return None
        return body

    def write(self, key: str, kind: str, parts: Iterable[bytes | memoryview]) -> None:
        """Keep the concatenated parts for a key. Failure is silent: the cache saves time, nothing else."""
        target = self.path(key, kind)
        if target is None or self._directory is None:
            return
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _private(self._directory):
                return
            target.parent.mkdir(mode=0o700, exist_ok=True)
            whole = list(parts)
            if not _write_unnamed(target, whole):
                _write_beside(target, whole)
        except OSError:
            return


def _write_unnamed(target: Path, parts: list[bytes | memoryview]) -> bool:
    """Write a file that gets its name when it is whole, so that a process killed before leaves nothing.

    False when the file system knows none such, or the name is taken.
    """
    try:
        descriptor = os.open(target.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        _fill(file, parts)
        try:
            # With a descriptor Python calls linkat, which alone follows the link.
            os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor, follow_symlinks=True)
        except OSError:
            return False
    return True


def _write_beside(target: Path, parts: list[bytes | memoryview]) -> None:
    scratch = target.with_name(f".new-{os.getpid()}-{os.urandom(6).hex()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _fill(file, parts)
        scratch.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


def _fill(file: BinaryIO, parts: list[bytes | memoryview]) -> None:
    crc = length = 0
    file.write(bytes(_HEAD.size))
    for part in parts:
        file.write(part)
        crc, length = zlib.crc32(part, crc), length + len(part)
    file.seek(0)
    file.write(_HEAD.pack(MAGIC, crc, 0, length, 0))
    file.flush()


def _private(directory: Path) -> bool:
    """Whether the directory is ours and nobody else can put files there."""
    try:
        status = directory.stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
