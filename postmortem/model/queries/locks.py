"""The graph of threads that wait for locks."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from postmortem.model.queries import culprit

if TYPE_CHECKING:
    from postmortem.model import Report, Thread

LOCKS = frozenset({"mutex", "rwlock", "futex"})


def waits(report: Report) -> dict[int, tuple[int, int]]:
    """tid → (index of the thread, tid of the owner), for threads whose lock names its owner."""
    return {
        thread.tid: (index, thread.wait.owner)
        for index, thread in enumerate(report.threads)
        if thread.tid is not None and thread.wait is not None and thread.wait.kind in LOCKS and thread.wait.owner
    }


def cycles(report: Report) -> tuple[tuple[int, ...], ...]:
    """Cycles of waiting threads, as indices of the report's threads in waiting order.

    Each thread waits for one owner at most, so one walk from every thread finds all of them.
    """
    edges = waits(report)
    done: set[int] = set()
    found: list[tuple[int, ...]] = []
    for start in edges:
        path: list[int] = []
        tid = start
        while tid in edges and tid not in done:
            done.add(tid)
            path.append(tid)
            tid = edges[tid][1]
        if tid in path:
            found.append(tuple(edges[member][0] for member in path[path.index(tid) :]))
    return tuple(found)


def cycles_with_java(report: Report) -> tuple[tuple[int, ...], ...]:
    """As `cycles`, those that need both a lock of native code and something that a Java thread waits for."""
    native = {tid: owner for tid, (_, owner) in waits(report).items()}
    java = {
        thread.tid: thread.java.waits_for_tid
        for thread in report.threads
        if thread.tid is not None
        and thread.java is not None
        and thread.java.waits_for_tid is not None
        and thread.tid not in native
    }
    edges: dict[int, int] = native | java
    index_of = {thread.tid: index for index, thread in enumerate(report.threads)}
    done: set[int] = set()
    found = []
    for start in edges:
        path: list[int] = []
        tid = start
        while tid in edges and tid in index_of and tid not in done:
            done.add(tid)
            path.append(tid)
            tid = edges[tid]
        if tid in path:
            members = path[path.index(tid) :]
            if not native.keys().isdisjoint(members) and not java.keys().isdisjoint(members):
                found.append(tuple(index_of[member] for member in members))
    return tuple(found)


def queues(report: Report) -> dict[tuple[int, int], tuple[int, ...]]:
    """(lock address, owner's tid) → indices of the threads that wait for it."""
    grouped: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for index, owner in waits(report).values():
        wait = report.threads[index].wait
        if wait is not None and wait.address is not None:
            grouped[wait.address, owner].append(index)
    return {lock: tuple(members) for lock, members in grouped.items()}


_NAMES = {"condvar": "condition variable", "futex": "lock or condition variable"}
_SHOWN = 3


def waiting(report: Report) -> str:
    """ "2 of 3 threads wait for the rwlock at 0x… (in refresh(), lookup())": what most wait for, or "".

    Who would end such a wait is not recorded, unlike a mutex's owner.
    """
    grouped: defaultdict[tuple[str, int], list[Thread]] = defaultdict(list)
    for thread in report.threads:
        wait = thread.wait
        if wait is not None and wait.address is not None and wait.kind in (*LOCKS, "condvar", "semaphore", "barrier"):
            grouped[wait.kind, wait.address].append(thread)
    if not grouped:
        return ""
    (kind, address), threads = max(grouped.items(), key=lambda item: len(item[1]))
    found = [culprit.first(thread.frames) for thread in threads]
    places = list(dict.fromkeys(culprit.label(item[1]) for item in found if item is not None))
    where = f" (in {', '.join(places[:_SHOWN])}{', …' if len(places) > _SHOWN else ''})" if places else ""
    count = f"{len(threads)} of {len(report.threads)} threads {'waits' if len(threads) == 1 else 'wait'}"
    return f"{count} for the {_NAMES.get(kind, kind)} at {address:#x}{where}"


def name(thread: Thread) -> str:
    """ "transfer" (4711), or thread 4711 when it has no name of its own."""
    return f'"{thread.name}" ({thread.tid})' if thread.name else f"thread {thread.tid}"


def place(thread: Thread) -> str:
    """ " in audit(), ledger.c:30": what the thread was doing, or ""."""
    found = culprit.first(thread.frames)
    return f" in {culprit.label(found[1])}" if found else ""
