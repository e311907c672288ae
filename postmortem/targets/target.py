"""The input opened: a core's bytes, decompressed if need be."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from parsers.containers import compressed
from parsers.filebytes import FileBytes
from parsers.limits import LIMITS
from postmortem.errors import AnalysisError
from postmortem.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """content: the core or log, decompressed. size: bytes of the file as given. format: its wrapping."""

    path: Path
    size: int
    content: FileBytes
    compression: str | None
    problems: tuple[Problem, ...]


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
    """Decompress into a sparse scratch file: blocks of zeros become holes."""
    zeros = bytes(_BLOCK)
    total = 0
    problems: list[Problem] = []
    try:
        for piece in compressed.chunks(source, kind):
            total += len(piece)
            if total > LIMITS.decompressed_bytes:
                problems.append(Problem(stage="open", where=str(path), what=f"decompression stopped at {total} bytes"))
                break
            if len(piece) == _BLOCK and piece == zeros:
                sink.seek(_BLOCK, os.SEEK_CUR)
            else:
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
