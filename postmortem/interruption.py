"""What an interruption has to undo, from the first line of a run on: temporary files and workers.

Imports only what the interpreter has loaded before it runs anything, so that `__main__` can ask for it first.
"""

from __future__ import annotations

import os
from _signal import (  # type: ignore[import-not-found]  # not signal: that imports enum, and takes time
    SIG_IGN,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGTERM,
    getsignal,
    signal,
)
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

SIGNALS = (SIGINT, SIGTERM, SIGHUP)
EXIT = 130

temporary: set[str | bytes] = set()
"""Names of files to be removed. A name is entered before the file is made."""
workers: set[int] = set()
"""Processes to be killed."""


def install() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP end the process with one line and exit 130, wherever it is.

    A signal that the caller ignores (nohup) stays ignored.
    """
    for number in SIGNALS:
        if getsignal(number) != SIG_IGN:
            signal(number, _stop)


def undo() -> None:
    """Kill the workers and remove the temporary files."""
    for worker in tuple(workers):
        try:
            os.kill(worker, SIGKILL)
        except OSError:
            continue
    for name in tuple(temporary):
        try:
            os.unlink(name)  # noqa: PTH108  (pathlib is not loaded yet)
        except OSError:
            continue


def _stop(number: int, frame: FrameType | None) -> None:
    # Straight out: an exception raised here would surface in whatever code the signal met.
    undo()
    try:
        os.write(2, b"postmortem: interrupted\n")
    finally:
        os._exit(EXIT)
