"""The core or log itself: what no other container recognises."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from parsers.filebytes import FileBytes
from postmortem.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from postmortem.targets.watch import Watch


def recognises(head: bytes, path: Path) -> bool:
    """Any file."""
    return True


@contextmanager
def opened(file: IO[bytes], path: Path, watch: Watch) -> Iterator[Target]:
    """The file's own bytes, read where it lies."""
    size = os.fstat(file.fileno()).st_size
    with FileBytes(os.dup(file.fileno()), size, supply=watch.supply) as content:
        yield Target(path=path, size=size, content=content)
