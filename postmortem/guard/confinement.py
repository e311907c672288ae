"""What a worker gives up before it reads a byte of its input."""

from __future__ import annotations

import math
import os
import resource
import signal
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from postmortem.guard import landlock, seccomp, syscalls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postmortem.guard.limits import WorkerLimits

# What the interpreter and the libraries below us read late: modules imported on first use, the number of processors.
_RUNTIME = (
    "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime",
    "/usr/share/zoneinfo", "/proc", "/sys/devices/system/cpu", "/dev/null", "/dev/urandom",
)  # fmt: skip


def leave_parent(parent: int, limits: WorkerLimits) -> None:
    """A session without terminal, sockets and standard streams; it ends with its parent and dumps no core."""
    os.setsid()
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before this was said
        os._exit(1)
    # A core of the worker would overwrite one named core, or show to others what this one hides.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    seconds = math.ceil(limits.seconds)
    _lower(resource.RLIMIT_CPU, seconds, seconds + 1)
    _lower(resource.RLIMIT_DATA, limits.memory, limits.memory)
    _first_to_go()
    empty = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(empty, standard)
    os.close(empty)
    _close_sockets()


def _close_sockets() -> None:
    """What the parent serves or asks is not the worker's to use."""
    listing = Path("/proc/self/fd")
    for descriptor in [int(entry.name) for entry in listing.iterdir()] if listing.is_dir() else ():
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.close(descriptor)
        except OSError:  # the one that the listing itself had open
            continue


def _lower(what: int, soft: int, hard: int) -> None:
    """Never above what the caller's own limits leave."""
    _, most = resource.getrlimit(what)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(what, (soft, hard))


def _first_to_go() -> None:
    """When the machine runs out of memory, the worker goes, not its parent or a neighbour."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return


def confine(readable: Iterable[Path], writable: Iterable[Path]) -> tuple[list[str], list[str]]:
    """Landlock and seccomp: what is in force, and what is not and why."""
    in_force: list[str] = []
    missing: list[str] = []
    try:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        return [], [f"Landlock, seccomp ({error.strerror})"]
    try:
        in_force.append(landlock.restrict((*readable, *_runtime()), writable))
    except OSError as error:
        missing.append(f"Landlock ({error.strerror or error})")
    try:
        in_force.append(seccomp.restrict())
    except OSError as error:
        missing.append(f"seccomp ({error.strerror or error})")
    return in_force, missing


def _runtime() -> list[Path]:
    own = [entry for entry in sys.path if entry and Path(entry).is_absolute()]
    return [Path(entry) for entry in dict.fromkeys((*own, sys.prefix, sys.base_prefix, *_RUNTIME))]
