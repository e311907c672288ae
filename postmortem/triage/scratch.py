"""The folder of a run for what it fetches and unpacks, beside its output, and those that killed runs have left."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIX = ".scratch-"


@contextmanager
def scratch(output: Path) -> Iterator[Path]:
    """A folder that is gone at the end. It is locked while its run lives; one that nobody holds is removed first."""
    for left in output.glob(f"{_PREFIX}*"):
        held = locked(left, os.O_RDONLY | os.O_DIRECTORY)
        if held is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(held)
    own = output / f"{_PREFIX}{os.getpid()}"
    own.mkdir(exist_ok=True)
    held = locked(own, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        if held is not None:
            os.close(held)


def locked(path: Path, flags: int) -> int | None:
    """A descriptor that holds the lock of a file or folder; None where another run holds it, or it can't be opened."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
