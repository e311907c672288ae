"""The input opened: a core's bytes, decompressed if need be."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from parsers.containers import compressed
from parsers.elf import core as core_parser
from parsers.errors import ParseError, Unsupported
from parsers.filebytes import FileBytes
from parsers.foreign import identify
from parsers.limits import LIMITS
from postmortem import model
from postmortem.errors import AnalysisError
from postmortem.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from parsers.elf.core import Core
    from parsers.hs_err import HsErrLog

_BLOCK = 1 << 16
_LOG_HEAD = 4096
_LOG_BYTES = 1 << 26
_ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """content: the core or log, decompressed. size: bytes of the file as given. format: its wrapping."""

    path: Path
    size: int
    content: FileBytes
    compression: str | None
    problems: tuple[Problem, ...]

    def described(self, core: Core) -> model.Core:
        """The input as the report shows it. core: what it holds."""
        return model.Core(
            path=str(self.path),
            size=self.size,
            format="elf-core" if self.compression is None else f"elf-core.{self.compression}",
            machine=core.machine,
            truncated=core.truncated or bool(self.problems),
            lost=core.lost,
        )


@contextmanager
def opened(path: Path) -> Iterator[Target]:
    """Open the input. Raises AnalysisError when there is nothing to analyze."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise AnalysisError(f"{path}: {error.strerror}", "check the path and its permissions") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise AnalysisError(f"{path}: is a directory", "name the core file inside it")
        raise AnalysisError(f"{path}: is not a regular file", "copy the core to a file first")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size == 0:
            raise AnalysisError(
                f"{path}: the file is empty",
                "the dump was cut at its first byte: look at ulimit -c, the disk and systemd-coredump's limits",
            )
        kind = compressed.compression(file.read(8))
        file.seek(0)
        if kind is None:
            with FileBytes(os.dup(descriptor), status.st_size) as content:
                yield Target(path=path, size=status.st_size, content=content, compression=None, problems=())
            return
        with tempfile.TemporaryFile(prefix="postmortem-") as scratch:
            problems = _decompress(file, kind, scratch, path)
            length = os.fstat(scratch.fileno()).st_size
            if length == 0:
                raise AnalysisError(
                    f"{path}: no byte of the {kind} stream can be decompressed", "the file is damaged or cut"
                )
            with FileBytes(os.dup(scratch.fileno()), length) as content:
                yield Target(path=path, size=status.st_size, content=content, compression=kind, problems=problems)


def _decompress(source: IO[bytes], kind: str, sink: IO[bytes], path: Path) -> tuple[Problem, ...]:
    """Decompress into a sparse scratch file: blocks of zeros become holes. It may fill the folder for temporary files
    but for LIMITS.disk_reserve; what came before that is analyzed."""
    zeros = bytes(_BLOCK)
    total = written = 0
    room = _room(sink)
    problems: list[Problem] = []
    try:
        for piece in compressed.chunks(source, kind):
            total += len(piece)
            if total > LIMITS.decompressed_bytes:
                problems.append(Problem(stage="open", where=str(path), what=f"decompression stopped at {total} bytes"))
                total -= len(piece)
                break
            if len(piece) == _BLOCK and piece == zeros:
                sink.seek(_BLOCK, os.SEEK_CUR)
                continue
            written += len(piece)
            if written > room:
                total -= len(piece)
                problems.append(_no_room(path, total, room))
                break
            sink.write(piece)
    except EOFError as damage:
        problems.append(
            Problem(
                stage="open",
                where=str(path),
                what=f"the {kind} stream ends or breaks after {total} bytes ({damage})",
                hint="get the file again; what came before is analyzed",
            )
        )
    except OSError as error:
        raise AnalysisError(
            f"{path}: can't decompress into {tempfile.gettempdir()}: {error.strerror}",
            "set TMPDIR to a directory with room for the whole core",
        ) from error
    sink.flush()
    os.ftruncate(sink.fileno(), total)
    return tuple(problems)


def _room(sink: IO[bytes]) -> int:
    """Bytes that may be written into the scratch file."""
    state = os.fstatvfs(sink.fileno())
    return max(0, state.f_bavail * state.f_frsize - LIMITS.disk_reserve)


def _no_room(path: Path, total: int, room: int) -> Problem:
    return Problem(
        stage="open",
        where=str(path),
        what=f"decompression stopped after {total} bytes: {tempfile.gettempdir()} has room for {room} but for zeros",
        hint="set TMPDIR to a directory with room for the whole core",
    )


def log_in(target: Target) -> HsErrLog | None:
    """The fatal error log that the input is, whole or an excerpt without its head; None when it is none."""
    head = bytes(target.content[:_LOG_HEAD])
    kind = identify(target.content)
    if head.startswith(_ELF) or (kind is not None and not kind.text):
        return None
    from parsers.hs_err import parse

    try:
        return parse(target.content[:_LOG_BYTES], excerpt=kind is None)
    except ParseError:
        return None


def core_in(target: Target) -> Core:
    """The core that the input is. Raises AnalysisError when it is none that can be read, or has no thread."""
    try:
        core = core_parser.parse(target.content)
    except Unsupported as error:
        raise AnalysisError(f"{target.path}: {error.why}", error.hint) from error
    except ParseError as error:
        raise AnalysisError(f"{target.path}: not a core this program can read: {error}", error.hint) from error
    if core.threads:
        return core
    # Without registers there is no stack and no fault to report.
    if core.truncated:
        raise AnalysisError(
            f"{target.path}: the core is cut after {core.size} bytes and holds no thread: no registers, no stacks",
            "get the whole file; ulimit -c, a full disk or an interrupted copy cut it",
        )
    raise AnalysisError(
        f"{target.path}: the core holds no thread (no NT_PRSTATUS): no registers, no stacks",
        "get a core that the kernel or gcore wrote",
    )
