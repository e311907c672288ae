"""Files of the dead process: opened only inside the allowed roots."""

from __future__ import annotations

import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path

DELETED = " (deleted)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPath:
    """Where module files may come from. Roots bound every path that a core names. closed: from nowhere."""

    executable: Path | None = None
    sysroot: Path | None = None
    debug_dirs: tuple[Path, ...] = ()
    closed: bool = False

    @property
    def root(self) -> Path:
        """The file system that the core's paths are taken in."""
        return self.sysroot or Path("/")

    def named(self, path: str) -> Path:
        """A path of the dead process, to be taken in `root`.

        A core that was written outside the container (gcore) has the paths as seen from there.
        """
        named = Path(path.removesuffix(DELETED))
        if self.sysroot is not None and named.is_relative_to(self.sysroot.absolute()):
            return Path("/") / named.relative_to(self.sysroot.absolute())
        return named


def open_regular(path: Path, root: Path) -> mmap.mmap | str:
    """Map a file for reading, or say in words why not. Symbolic links are followed inside `root` only."""
    resolved = resolve_inside(path, root)
    if resolved is None:
        return "leads outside the allowed root"
    try:
        descriptor = os.open(resolved, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return "not there" if error.errno == 2 else (error.strerror or "can't be opened")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        if status.st_size == 0:
            return "empty"
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        return str(error)
    finally:
        os.close(descriptor)


def resolve_inside(path: Path, root: Path) -> Path | None:
    """`path` (absolute, as the process saw it) inside `root`, links resolved as if root were "/"."""
    if root == Path("/"):
        try:
            return Path(os.path.realpath(path))
        except (OSError, ValueError):
            return None
    current = root
    pending = [part for part in reversed(path.parts) if part != "/"]
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            current = current.parent if current != root else root
            continue
        following = current / part
        try:
            if following.is_symlink():
                links += 1
                if links > 40:
                    return None
                target = Path(following.readlink())
                if target.is_absolute():
                    current = root
                pending.extend(piece for piece in reversed(target.parts) if piece != "/")
                continue
        except (OSError, ValueError):
            return None
        current = following
    return current


def basename(path: str) -> str:
    """The last part of a path of the dead process, without " (deleted)"."""
    return path.removesuffix(DELETED).rsplit("/", 1)[-1]
