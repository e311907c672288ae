"""A compressed core or log: decompressed into a sparse file without a name."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from parsers.containers import compressed
from parsers.filebytes import FileBytes
from parsers.limits import LIMITS
from postmortem.errors import AnalysisError
from postmortem.model import Problem
from postmortem.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from postmortem.targets.watch import Watch

_BLOCK = 1 << 16
_TOLD_EVERY = 1 << 20


def recognises(head: bytes, path: Path) -> bool:
    """By the magic number of a compression."""
    return compressed.compression(head) is not None


@contextmanager
def opened(file: IO[bytes], path: Path, watch: Watch) -> Iterator[Target]:
    """What the stream holds, as far as it can be decompressed. Raises AnalysisError when no byte can be."""
    kind = compressed.compression(file.read(8)) or ""
    file.seek(0)
    size = os.fstat(file.fileno()).st_size
    with tempfile.TemporaryFile(prefix="postmortem-") as scratch:
        watch.notice(_begins(kind, size, _room(scratch)))
        problems = _decompress(file, kind, scratch, path, lambda: watch.progress(min(file.tell(), size), size))
        length = os.fstat(scratch.fileno()).st_size
        if length == 0:
            raise AnalysisError(
                f"{path}: no byte of the {kind} stream can be decompressed", "the file is damaged or cut"
            )
        with FileBytes(os.dup(scratch.fileno()), length) as content:
            yield Target(path=path, size=size, content=content, compression=kind, problems=problems)


def _begins(kind: str, size: int, room: int) -> str:
    return (
        f"decompressing {size / 1e6:.1f} MB ({kind}) into {tempfile.gettempdir()}, where {room / 1e9:.1f} GB have room,"
        " zeros not counted; TMPDIR names another directory"
    )


def _decompress(
    source: IO[bytes], kind: str, sink: IO[bytes], path: Path, behind: Callable[[], None]
) -> tuple[Problem, ...]:
    """Decompress into a sparse scratch file: blocks of zeros become holes. It may fill the folder for temporary files
    but for LIMITS.disk_reserve; what came before that is analyzed."""
    zeros = bytes(_BLOCK)
    total = written = 0
    room = _room(sink)
    problems: list[Problem] = []
    try:
        for piece in compressed.chunks(source, kind):
            total += len(piece)
            if not total & _TOLD_EVERY - 1:
                behind()
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
