"""Where a report is written, in which format. The only writer of files and of the terminal."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from parsers.limits import LIMITS
from postmortem import interruption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from postmortem.guard.analysis import Made

EXISTING = click.Path(exists=True, path_type=Path)
FORMATS = ("html", "json", "markdown", "text")
_ENDINGS = {".json": "json", ".md": "markdown", ".markdown": "markdown", ".txt": "text"}
_LONGEST_NAME = 255
# What a terminal gets: text, line ends, and colours; no other control sequence, whoever made the text.
_CONTROL = re.compile(rb"\x1b(?!\[[0-9;]{0,32}m)|[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f]|\xc2[\x80-\x9f]")


class Pattern(click.ParamType[str]):
    """A regular expression."""

    name = "pattern"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The pattern as it is. Fails for what is none, or matches everything."""
        try:
            if re.compile(value).search("") is not None:
                self.fail(f"{value!r} matches the empty text", param, ctx)
        except re.error as error:
            self.fail(f"{value!r} is no regular expression: {error}", param, ctx)
        return value


MASK = click.option(
    "--mask",
    "masks",
    multiple=True,
    type=Pattern(),
    metavar="PATTERN",
    help="Mask what matches this regular expression, too.",
)


def one_line(text: str) -> str:
    """Text for one line of a terminal: what is invisible in it becomes codes."""
    from reports.text import visible

    return visible(" ".join(text.split()))


def complain(text: str) -> None:
    """One line on stderr."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"postmortem: {one_line(text)}\n")
            sys.stderr.flush()
    except OSError:
        return


def format_of(form: str | None, output: Path | None) -> str:
    """The format asked for, else the one that the file's ending says, else HTML."""
    return form or (_ENDINGS.get(output.suffix, "html") if output is not None else "html")


def to_stdout(data: bytes) -> None:
    """Raises OSError when standard output is closed or full."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "standard output is closed")
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def to_terminal(data: bytes) -> None:
    """Text for the reader; that it can't be written costs a line on stderr, not the report."""
    try:
        to_stdout(_CONTROL.sub(b"?", data))
    except BrokenPipeError:
        _drop_stdout()  # the reader has seen enough
    except OSError as error:
        complain(f"standard output: {error.strerror}")
        _drop_stdout()


def _drop_stdout() -> None:
    """What is still in its buffer is lost, so that the flush at the end does not fail for it again."""
    if sys.stdout is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def put(data: bytes, output: Path, mode: int = 0o600) -> None:
    """Write to a file, or to standard output for "-". Raises OSError."""
    if str(output) in ("-", "/dev/stdout"):
        to_stdout(data)
        return
    status = _lstat(output)
    if status is not None and not stat.S_ISREG(status.st_mode):
        _write_directly(data, output)
    else:
        _replace(data, output, mode)


def mode_for(core: Path) -> int:
    """The mode of a report: nobody may read it who may not read the core."""
    try:
        return (core.stat().st_mode & 0o066) | 0o600
    except OSError:
        return 0o600


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _write_directly(data: bytes, output: Path) -> None:
    """To a device, a pipe or what /dev/fd leads to. Raises OSError for what is no place for a report."""
    if output.is_symlink() and not _of_the_kernel(output.parent.resolve()):
        raise OSError(errno.ELOOP, "is a symbolic link; name the file itself")
    # Without O_NONBLOCK a pipe that nobody reads would hold us for good.
    descriptor = os.open(output, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISBLK(kind):
            raise OSError(errno.EINVAL, "is a block device")
        os.set_blocking(descriptor, True)
        file.write(data)


def _of_the_kernel(folder: Path) -> bool:
    """/dev and /proc/PID/fd, where nobody but root and the kernel makes links; in /dev/shm everybody may."""
    return folder == Path("/dev") or (folder.parts[1:2] == ("proc",) and folder.name == "fd")


def _replace(data: bytes, target: Path, mode: int) -> None:
    """Make a new file in the same folder and give it the name when it is whole."""
    scratch = os.fsencode(target.absolute().parent / f".postmortem-{os.urandom(8).hex()}")
    interruption.temporary.add(scratch)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(scratch, flags, mode), "wb") as file:
            file.write(data)
        Path(os.fsdecode(scratch)).replace(target)
    except BaseException:
        Path(os.fsdecode(scratch)).unlink(missing_ok=True)
        raise
    finally:
        interruption.temporary.discard(scratch)


class Names:
    """File names for the reports of one run: the core's own, and more of it where two would be the same."""

    def __init__(self, cores: Iterable[Path], form: str) -> None:
        names = [core.name for core in cores]
        self._shared = {name for name in names if names.count(name) > 1}
        self._ending = {"markdown": "md", "text": "txt"}.get(form, form)
        self._taken: set[Path] = set()

    def beside(self, core: Path, made: Made) -> Path:
        """A name in the core's own folder, or in the working directory where that one is closed to us."""
        if os.access(core.parent, os.W_OK):
            return self._first(core.parent, core, self._candidates(core, made), own=True)
        return self.inside(Path.cwd(), core, made)

    def inside(self, folder: Path, core: Path, made: Made) -> Path:
        """A name in a folder where the reports of other cores may lie."""
        candidates = self._candidates(core, made)
        if core.name in self._shared:
            next(candidates)
        return self._first(folder, core, candidates, own=False)

    def _candidates(self, core: Path, made: Made) -> Iterator[str]:
        name = os.fsdecode(os.fsencode(core.name)[: _LONGEST_NAME - 100])
        yield name
        folder = os.fsdecode(os.fsencode(core.absolute().parent.name)[:40])
        known = [f"{folder}.{name}" if folder else name]
        yield known[0]
        for more in (made.pid[:10], made.build_id[:8]):
            if more:
                known.append(more)
                yield ".".join(known)
        for number in range(2, 1000):
            yield ".".join((*known, str(number)))

    def _first(self, folder: Path, core: Path, candidates: Iterator[str], *, own: bool) -> Path:
        for candidate in candidates:
            path = folder / f"{candidate}.postmortem.{self._ending}"
            if path in self._taken:
                continue
            status = _lstat(path)
            if status is None or (stat.S_ISREG(status.st_mode) and (own or _is_about(path, core))):
                self._taken.add(path)
                return path
        raise OSError(errno.EEXIST, "every name for the report is taken by something else")


def _is_about(report: Path, core: Path) -> bool:
    """Whether a report that lies there is an older one of this core."""
    try:
        with report.open("rb") as file:
            return os.fsencode(core) in file.read(LIMITS.output_older_report)
    except OSError:
        return False
