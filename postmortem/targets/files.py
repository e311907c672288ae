"""Files of the dead process: opened only inside the allowed roots."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parsers.filebytes import FileBytes
from parsers.limits import LIMITS
from postmortem.model.queries.files import present

if TYPE_CHECKING:
    from postmortem.targets.buildids import BuildIds


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPath:
    """Where module files may come from. Roots bound every path that a core names. closed: from nowhere.

    by_build_id: the files of the debug directories, whatever they are called.
    """

    executable: Path | None = None
    sysroot: Path | None = None
    debug_dirs: tuple[Path, ...] = ()
    closed: bool = False
    by_build_id: BuildIds | None = None

    @property
    def root(self) -> Path:
        """The file system that the core's paths are taken in."""
        return self.sysroot or Path("/")

    def allowed(self, path: Path) -> tuple[Path, Path]:
        """(path, root that its links must stay in) for a file here: the sysroot where it lies inside that, else "/"."""
        path = path.absolute()
        if self.sysroot is not None and path.is_relative_to(self.sysroot.absolute()):
            return Path("/") / path.relative_to(self.sysroot.absolute()), self.sysroot.absolute()
        return path, Path("/")

    def named(self, path: str) -> Path:
        """A path of the dead process, to be taken in `root`.

        A core that was written outside the container (gcore) has the paths as seen from there.
        """
        named = Path(present(path))
        if self.sysroot is not None and named.is_relative_to(self.sysroot.absolute()):
            return Path("/") / named.relative_to(self.sysroot.absolute())
        return named


def size_of(path: str, search: SearchPath) -> int | None:
    """Bytes of the regular file that a path of the dead process leads to here and now; None where there is none."""
    resolved = None if search.closed else resolve_inside(search.named(path), search.root)
    try:
        status = None if resolved is None else resolved.stat()
    except (OSError, ValueError):
        return None
    return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None


def open_regular(path: Path, root: Path) -> FileBytes | str:
    """Open a file for reading, or say in words why not. Symbolic links are followed inside `root` only."""
    if len(path.parts) > LIMITS.path_parts:
        return f"its path has more than {LIMITS.path_parts} parts"
    resolved = resolve_inside(path, root)
    if resolved is None:
        return "leads outside the allowed root"
    found = _opened(resolved)
    if isinstance(found, str):
        return found
    descriptor, status = found
    if status.st_size == 0:
        os.close(descriptor)
        return "empty"

    def again() -> int | None:
        """The same file once more; None when another one has taken its place or it was written to."""
        reopened = _opened(resolved)
        if isinstance(reopened, str):
            return None
        if _state(reopened[1]) == _state(status):
            return reopened[0]
        os.close(reopened[0])
        return None

    return FileBytes(descriptor, status.st_size, again)


def _state(status: os.stat_result) -> tuple[int, ...]:
    """What tells one state of a file from another; the number of an inode is used again at once."""
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _opened(path: Path) -> tuple[int, os.stat_result] | str:
    """A descriptor of a regular file and its state.

    Nothing but a regular file is ever opened: opening a device or a pipe can have effects. The name is taken once, as a
    handle that can't be read from; what that handle is decides.
    """
    try:
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return "not there" if error.errno == errno.ENOENT else (error.strerror or "can't be opened")
    except ValueError as error:
        return str(error)  # a NUL in the name
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC), status
    except OSError as error:
        if error.errno != errno.ENOENT:
            return error.strerror or "can't be opened"
    finally:
        os.close(handle)
    return _opened_without_proc(path)


def _opened_without_proc(path: Path) -> tuple[int, os.stat_result] | str:
    """The same where /proc is not mounted: O_NONBLOCK keeps a pipe from waiting for its other end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return error.strerror or "can't be opened"
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor, status
    os.close(descriptor)
    return "not a regular file"


def resolve_inside(path: Path, root: Path) -> Path | None:
    """`path` (absolute, as the process saw it) inside `root`, links resolved as if root were "/"."""
    if root == Path("/"):
        try:
            return Path(os.path.realpath(path))
        except (OSError, ValueError):
            return None
    current = root
    pending = [part for part in reversed(path.parts) if part != "/"]
    links = steps = 0
    while pending:
        steps += 1
        if steps > LIMITS.path_steps:
            return None
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
