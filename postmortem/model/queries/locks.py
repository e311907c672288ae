"""The graph of threads that wait for locks."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import culprit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Report, Thread

LOCKS = frozenset({"mutex", "rwlock", "futex"})
JOINS = frozenset({"join"})


def waits(report: Report, kinds: frozenset[str] = LOCKS) -> dict[int, tuple[int, int]]:
    """tid → (index of the thread, tid of the owner), for threads whose lock names its owner."""
    return {
        thread.tid: (index, thread.wait.owner)
        for index, thread in enumerate(report.threads)
        if thread.tid is not None and thread.wait is not None and thread.wait.kind in kinds and thread.wait.owner
    }


def deadlocked(report: Report) -> tuple[int, ...]:
    """Indices of the first deadlock's threads: a cycle, else the waiters of a lock that one of them reads under."""
    found = cycles(report) or tuple(item.waiters for item in held_by_readers(report))
    return found[0] if found else ()


class ReadersDeadlock(NamedTuple):
    """waiters: indices of the threads that wait for a read-write lock. readers: how many hold it. others: indices of
    the threads that don't wait for it, nor for one that does."""

    waiters: tuple[int, ...]
    readers: int
    others: tuple[int, ...]


def held_by_readers(report: Report) -> tuple[ReadersDeadlock, ...]:
    """Read-write locks that more readers hold than there are threads left which could give it back.

    Who reads is not recorded, only how many. Threads that wait for the lock, or for a thread that does (its mutex, its
    end), can't go on: when the others are fewer than the readers, one of those that wait holds it.
    """
    wanted: defaultdict[int, list[int]] = defaultdict(list)
    for index, thread in enumerate(report.threads):
        wait = thread.wait
        if wait is not None and wait.kind == "rwlock" and wait.readers and wait.address is not None and not wait.shared:
            wanted[wait.address].append(index)
    found = []
    edges = waits(report, LOCKS | JOINS)
    for members in wanted.values():
        waits_of = [report.threads[index].wait for index in members]
        if not any(wait is not None and wait.writing for wait in waits_of):
            continue
        readers = min(wait.readers for wait in waits_of if wait is not None and wait.readers)
        stuck = {report.threads[index].tid for index in members}
        before = -1
        while len(stuck) != before:
            before = len(stuck)
            stuck |= {tid for tid, (_, owner) in edges.items() if owner in stuck}
        others = tuple(index for index, thread in enumerate(report.threads) if thread.tid not in stuck)
        if len(others) < readers:
            found.append(ReadersDeadlock(tuple(members), readers, others))
    return tuple(found)


def cycles(report: Report) -> tuple[tuple[int, ...], ...]:
    """Cycles of waiting threads, as indices of the report's threads in waiting order.

    Each thread waits for one owner at most, or for the end of one thread, so one walk from every thread finds all.
    """
    edges = waits(report, LOCKS | JOINS)
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


_SHOWN = 3
_MOST = 4
"""Kinds of waiting that are told."""
SECOND_LOOK = (
    "Take a second snapshot some seconds later (gcore): a thread that still runs in the same function loops there, or"
    " has much to do. The condition of its loop, and who should change it, is what to look at."
)


def running(report: Report) -> tuple[int, ...]:
    """Indices of the threads that were in no system call and in no wait, where a core tells that."""
    if not report.core.format.startswith("elf"):
        return ()
    return tuple(
        index
        for index, thread in enumerate(report.threads)
        if thread.wait is None and thread.frames and thread.registers and thread.ended != "no-registers"
    )


def running_evidence(report: Report) -> tuple[tuple[str, str], ...]:
    """(path, words) of where running threads were."""
    found = []
    for index in running(report)[:_SHOWN]:
        first = culprit.first(report.threads[index].frames)
        where = f"frames[{first[0]}].function" if first is not None and first[1].function else "frames[0].pc"
        found.append((f"threads[{index}].{where}", f"where {name(report.threads[index])} ran"))
    return tuple(found)


def waiting(report: Report) -> str:
    """ "2 of 3 threads wait for the rwlock at 0x… (in refresh(), lookup()); 1 was running (in scan())", or "".

    Who would end a wait for a condition variable, a semaphore or a future is not recorded, unlike a mutex's owner.
    Threads in other system calls are told only where nothing else is: most servers idle there.
    """
    runs = [report.threads[index] for index in running(report)]
    told = [(len(runs), _was_running(len(runs)), runs)] if runs else []
    kinds: defaultdict[tuple[str, int | None], list[Thread]] = defaultdict(list)
    for thread in report.threads:
        if thread.wait is not None and thread.wait.kind != "syscall":
            kinds[thread.wait.kind, thread.wait.owner if thread.wait.kind == "join" else None].append(thread)
    waits: list[tuple[int, str, list[Thread]]] = []
    for (kind, owner), threads in kinds.items():
        waits += _of_kind(kind, owner, threads)
    told += sorted(waits, key=lambda item: -item[0])
    if not told:
        told = _in_system_calls(report)
    more = len(told) > _MOST
    texts = [
        f"{count}{_of_all(report) if not at else ''} {words}{_places(threads)}"
        for at, (count, words, threads) in enumerate(told[:_MOST])
    ]
    return "; ".join(texts) + ("; others wait for other things" if more else "")


def _of_all(report: Report) -> str:
    count = len(report.threads)
    return f" of {count} threads" if count > 1 else " thread"


def _was_running(count: int) -> str:
    return f"{'was' if count == 1 else 'were'} running, in no system call"


_NAMES = {"condvar": "condition variable", "futex": "lock or condition variable", "future": "result of a std::future"}


def _of_kind(kind: str, owner: int | None, threads: list[Thread]) -> Iterator[tuple[int, str, list[Thread]]]:
    """One item for each lock that more than one waits for, and one for all others of the kind."""
    if kind == "join":
        yield len(threads), f"{_verb(threads)} for the end of {f'thread {owner}' if owner else 'a thread'}", threads
        return
    at: defaultdict[int | None, list[Thread]] = defaultdict(list)
    for thread in threads:
        at[thread.wait.address if thread.wait is not None else None].append(thread)
    what = _NAMES.get(kind, kind)
    alone = [found[0] for address, found in at.items() if len(found) == 1 or address is None]
    alone += [thread for address, found in at.items() if address is None for thread in found[1:]]
    for address, found in at.items():
        if address is not None and (len(found) > 1 or len(alone) == 1):
            yield len(found), f"{_verb(found)} for the {what} at {address:#x}", found
    if len(alone) > 1 and None not in at:
        each = "each for the result of another std::future" if kind == "future" else f"each for another {what}"
        yield len(alone), f"{_verb(alone)}, {each}", alone
    elif None in at:
        yield len(alone), f"{_verb(alone)} for a {what}" + (" or another" if len(alone) > 1 else ""), alone


def _verb(threads: list[Thread]) -> str:
    return "waits" if len(threads) == 1 else "wait"


def _in_system_calls(report: Report) -> list[tuple[int, str, list[Thread]]]:
    calls: defaultdict[str, list[Thread]] = defaultdict(list)
    for thread in report.threads:
        if thread.wait is not None:
            calls[thread.wait.syscall].append(thread)
    found = [
        (len(threads), f"{'is' if len(threads) == 1 else 'are'} in the system call {call}", threads)
        for call, threads in calls.items()
    ]
    return sorted(found, key=lambda item: -item[0])


def _places(threads: list[Thread]) -> str:
    found = [culprit.first(thread.frames) for thread in threads]
    places = list(dict.fromkeys(culprit.label(item[1]) for item in found if item is not None))
    return f" (in {', '.join(places[:_SHOWN])}{', …' if len(places) > _SHOWN else ''})" if places else ""


def name(thread: Thread) -> str:
    """ "transfer" (4711), or thread 4711 when it has no name of its own."""
    return f'"{thread.name}" ({thread.tid})' if thread.name else f"thread {thread.tid}"


def place(thread: Thread) -> str:
    """ " in audit(), ledger.c:30": what the thread was doing, or ""."""
    found = culprit.first(thread.frames)
    return f" in {culprit.label(found[1])}" if found else ""
