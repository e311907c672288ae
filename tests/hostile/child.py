"""Run a function in a forked child and say how it ended, what it took and what it told."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_TOLD = 1 << 16
_FRESH = 80_000
"""kB that a process of its own has resident once all is imported."""


class Outcome(NamedTuple):
    """status: report, partial, refused (told says why), traceback, died (told: the signal); CPU seconds; peak kB.

    The kernel counts what the parent had resident at the fork as the child's, too: only what came on top is taken, with
    what a process of its own would have.
    """

    status: str
    told: str
    seconds: float
    kilobytes: int


def forked(function: Callable[[], str], refusals: tuple[type[BaseException], ...], cpu: int, megabytes: int) -> Outcome:
    """The outcome of `function`, which returns "report" or "partial". Limits: CPU seconds, MB of address space."""
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    inherited = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 10
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            try:
                told = function()
            except refusals as error:
                told = f"refused\n{error}"
            except BaseException:
                told = "traceback\n" + traceback.format_exc()[-_TOLD // 2 :]
            os.write(writer, told.encode("utf-8", "backslashreplace")[:_TOLD])
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    pieces = []
    while piece := os.read(reader, _TOLD):
        pieces.append(piece)
    os.close(reader)
    _, status, usage = os.wait4(pid, 0)
    seconds = usage.ru_utime + usage.ru_stime
    kilobytes = max(usage.ru_maxrss - inherited, 0) + _FRESH
    told = b"".join(pieces).decode("utf-8", "replace")
    if os.WIFSIGNALED(status):
        name = str(os.WTERMSIG(status))
        with contextlib.suppress(ValueError):
            name = signal.Signals(os.WTERMSIG(status)).name
        return Outcome("died", name, seconds, kilobytes)
    kind, _, rest = told.partition("\n")
    return Outcome(kind or "died", rest, seconds, kilobytes)
