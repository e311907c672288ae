"""Where the threads of a process were that was killed, or was taken a picture of: what it worked on, not what idled.

How many threads of a pool wait for work differs from run to run. Threads count in this order, and only those of the
first kind that there is: those that ran, those that waited for a lock or in a system call which takes as long as it
has work, the main thread or the one whose end it waits for, all. Each is told by its innermost function of the
program's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.queries import locks
from postmortem.signature import frames as stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Report, Thread

SITES = 8
"""Threads of a hang or a killed process that are told."""
_LOOKED_AT = 200
_IDLE = frozenset(
    {
        "pause", "poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2", "nanosleep",
        "clock_nanosleep", "accept", "accept4", "recvfrom", "recvmsg", "recvmmsg", "read", "readv", "io_getevents",
        "io_pgetevents", "io_uring_enter", "rt_sigtimedwait", "rt_sigsuspend", "wait4", "waitid", "msgrcv",
        "mq_timedreceive", "semtimedop", "semop", "futex", "restart_syscall", "sched_yield", "kill", "tkill", "tgkill",
    }
)  # fmt: skip
"""System calls in which a thread waits for work, or sends the signal."""
_LOCKS = frozenset({"mutex", "rwlock", "future", "barrier"})


def sites(report: Report) -> tuple[str, ...]:
    """In an order that does not depend on thread numbers."""
    ran = [report.threads[index] for index in locks.running(report)]
    groups: tuple[Sequence[Thread], ...] = (
        [thread for thread in ran if thread.java is None or thread.java.state in (None, "RUNNABLE")],
        [thread for thread in report.threads if _is_blocked(thread)],
        _main(report),
        report.threads,
    )
    return next((found for own in (True, False) for threads in groups if (found := _of(threads, own))), ())


def _is_blocked(thread: Thread) -> bool:
    if thread.java is not None and thread.java.state is not None and thread.java.state != "RUNNABLE":
        return thread.java.state == "BLOCKED"
    wait = thread.wait
    return wait is not None and (wait.kind in _LOCKS or (wait.kind == "syscall" and wait.syscall not in _IDLE))


def _main(report: Report) -> Sequence[Thread]:
    by_tid = {thread.tid: thread for thread in report.threads}
    found = by_tid.get(report.process.pid)
    for _ in report.threads:
        if found is None or found.wait is None or found.wait.kind != "join" or found.wait.owner is None:
            break
        found = by_tid.get(found.wait.owner)
    return () if found is None else (found,)


def _of(threads: Sequence[Thread], own: bool) -> tuple[str, ...]:
    found = {site for thread in threads if (site := site_of(thread, own)) is not None}
    return tuple(sorted(found))[:SITES]


def site_of(thread: Thread, own: bool) -> str | None:
    """Where a thread is, by its innermost frame; own: only if it runs the program's own code."""
    telling = stack.own(thread.frames[:_LOOKED_AT]) if own else stack.telling(thread.frames[:_LOOKED_AT])
    if not telling:
        return None
    if stack.classify(telling[0]) == "entry":
        return stack.with_file(telling[0])
    return stack.names(telling[:1])[0]
