"""Files kept by build-id between runs. Safe for concurrent use; a damaged file is made again.

A file is written beside its place under a name of its own and renamed there, so a reader sees a whole file
or none. Whatever can't be written is simply made anew next time.
"""

from __future__ import annotations

import mmap
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def default_directory() -> Path:
    """$POSTMORTEM_CACHE, else postmortem under $XDG_CACHE_HOME, else under ~/.cache."""
    named = os.environ.get("POSTMORTEM_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "postmortem"


class Cache:
    """A directory of derived files."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory or default_directory()

    def path(self, key: str, kind: str) -> Path:
        """Where the file for a key lies. The key is hexadecimal, so it can't lead elsewhere."""
        safe = "".join(letter for letter in key if letter in "0123456789abcdef")
        return self._directory / safe[:2] / f"{safe[2:] or '0'}.{kind}"

    def read(self, key: str, kind: str) -> mmap.mmap | None:
        """The file, mapped; None when there is none of ours."""
        try:
            descriptor = os.open(self.path(key, kind), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or not status.st_size:
                return None
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return None
        finally:
            os.close(descriptor)

    def write(self, key: str, kind: str, save: Callable[[Path], None]) -> Path | None:
        """Have `save` write a file at the path it is given, and put it in place; None if that can't be."""
        target = self.path(key, kind)
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=".new-", dir=target.parent)
        except OSError:
            return None
        os.close(descriptor)
        scratch = Path(name)
        try:
            save(scratch)
            scratch.replace(target)
        except OSError:
            scratch.unlink(missing_ok=True)
            return None
        return target
