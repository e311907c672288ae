"""Does every thread of a process wait for another one? Then none is left that could wake them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views
from postmortem.model.queries import locks

if TYPE_CHECKING:
    from postmortem.model import Report

_KINDS = ("mutex", "rwlock", "condvar", "future", "semaphore", "barrier", "park", "futex", "join")
"""In the order in which they are told: what is waited for the end of a thread has another reason."""
_WAKE_THEMSELVES = ("Go",)
"""Runtimes whose idle threads wait so until the kernel has something for one of them."""


class Stuck(NamedTuple):
    """kinds: indices of the threads that wait for something of a kind, the most telling kind first."""

    kinds: dict[str, tuple[int, ...]]


def stuck(report: Report) -> Stuck | None:
    """None where a thread runs, is in another system call, waits with a time limit, for another process or for a lock
    whose owner is known; or where a core may lack threads."""
    if not report.threads or not report.core.format.startswith("elf") or report.core.truncated:
        return None
    if views.java_process(report) or any(state.name in _WAKE_THEMSELVES for state in report.runtimes):
        return None
    found: defaultdict[str, list[int]] = defaultdict(list)
    for index, thread in enumerate(report.threads):
        wait = thread.wait
        if wait is None or wait.kind not in _KINDS or wait.timed or wait.shared or not wait.settled:
            return None
        if wait.owner is not None and wait.owner_in_core is False:
            return None
        if wait.held is False or (wait.address is not None and _is_shared(report, wait.address)):
            return None
        found[wait.kind].append(index)
    if locks.deadlocked(report) or set(found) == {"join"}:
        return None
    return Stuck({kind: tuple(found[kind]) for kind in _KINDS if kind in found})


def _is_shared(report: Report, address: int) -> bool:
    """Whether the word lies in memory that other processes may have."""
    mapping = views.mapping_at(report, address)
    return mapping is None or mapping[1].permissions.endswith("s") or (mapping[1].path or "").startswith("/dev/shm/")
