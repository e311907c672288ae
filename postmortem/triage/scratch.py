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
        held = _locked(left)
        if held is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(held)
    own = output / f"{_PREFIX}{os.getpid()}"
    own.mkdir(exist_ok=True)
    held = _locked(own)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        if held is not None:
            os.close(held)


def _locked(folder: Path) -> int | None:
    """A descriptor of the folder that holds its lock; None where another run holds it, or it is no folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
