"""The forms in which an input is given, and the opening of it.

A container is added as a file in `containers/` and a row in CONTAINERS.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from importlib import import_module
from typing import IO, TYPE_CHECKING, Protocol, cast

from postmortem.errors import AnalysisError
from postmortem.targets.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from postmortem.targets.target import Target

CONTAINERS = ("compressed", "plain")
"""Files in `containers/`, in the order in which they are asked; each is a `Container`."""

_HEAD = 4096
"""Bytes of the file that a container may look at."""


class Container(Protocol):
    """A form of input."""

    def recognises(self, head: bytes, path: Path) -> bool:
        """Whether a file is of this form. head: its first bytes."""
        ...

    def opened(self, file: IO[bytes], path: Path, watch: Watch) -> AbstractContextManager[Target]:
        """What is in a file of this form, which is at its first byte. Raises AnalysisError when there is nothing."""
        ...


@contextmanager
def opened(
    path: Path,
    watch: Watch | None = None,
    table: Sequence[str] = CONTAINERS,
    home: str = "postmortem.targets.containers",
) -> Iterator[Target]:
    """Open the input. Raises AnalysisError when there is nothing to analyze.

    watch: who is told what takes long. table, home: the containers and the package that has them.
    """
    with _regular(path) as file:
        head = file.read(_HEAD)
        file.seek(0)
        if not head:
            raise AnalysisError(
                f"{path}: the file is empty",
                "the dump was cut at its first byte: look at ulimit -c, the disk and systemd-coredump's limits",
            )
        containers = (cast("Container", import_module(f"{home}.{name}")) for name in table)
        with next(one for one in containers if one.recognises(head, path)).opened(
            file, path, watch or Watch()
        ) as target:
            yield target


def _regular(path: Path) -> IO[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise AnalysisError(f"{path}: {error.strerror}", "check the path and its permissions") from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise AnalysisError(f"{path}: is a directory", "name the core file inside it")
    raise AnalysisError(f"{path}: is not a regular file", "copy the core to a file first")
