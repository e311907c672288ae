"""Deadlock of mutexes, read-write locks or threads that join each other.

What it finds: threads that wait for each other in a cycle, for a lock or for the other's end, or a thread that waits
for a lock of its own, also in a handler of a signal that interrupted the holder; and threads that want to write under a
read-write lock that they hold themselves for reading.
Why it matters: such a process never goes on; a watchdog's or an operator's signal is only its end.
Evidence it needs: what each thread waits for, and the owner recorded in the lock's memory. Readers are only counted
there: when fewer threads are left than readers hold the lock, one of those that wait is a reader; that is likely only.
So is a wait for malloc's lock, which records no owner, in a handler that interrupted malloc.
False alarms: a waiter caught just before it was woken; a cycle needs every edge at once, which that is not.
An owner that has ended, or that lives in the parent process, makes no cycle. A wait with a time limit ends by itself:
then the finding is likely only.
Rivals excluded: a queue for a lock whose owner runs: every edge of the circle is read from memory; an owner that has
ended.
What to do: take locks in one order everywhere, or together (std::scoped_lock).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import handlers, locks
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Thread

SHOWN = 8
"""Threads of a cycle that are told in words; evidence has as many."""


def check(report: Report) -> Iterator[Finding]:
    """One finding for each cycle."""
    for cycle in locks.cycles(report):
        yield _finding(report, cycle)
    for found in locks.held_by_readers(report):
        yield _readers(report, found)
    for index, handling in handlers.in_allocator(report):
        yield _allocating(report, index, handling)


def _finding(report: Report, cycle: tuple[int, ...]) -> Finding:
    """Long: most of it is the text of the finding, which is read in one piece."""
    threads = [report.threads[index] for index in cycle]
    told = []
    evidence: list[tuple[str, str]] = []
    for index, thread in list(zip(cycle, threads, strict=True))[:SHOWN]:
        wait = thread.wait
        if wait is None:
            continue
        joins = wait.kind in locks.JOINS
        at = f" at {wait.address:#x}" if wait.address is not None else ""
        what = f"end of thread {wait.owner}" if joins else f"{wait.kind}{at} held by thread {wait.owner}"
        told.append(f"{locks.name(thread)} waits{locks.place(thread)} for the {what}")
        if not joins:
            evidence.append((f"threads[{index}].wait.address", f"the {wait.kind} that {locks.name(thread)} waits for"))
        owner = f"whose end {locks.name(thread)} waits for" if joins else "its owner, from the lock's memory"
        evidence.append((f"threads[{index}].wait.owner", owner))
    timed = any(thread.wait is not None and thread.wait.timed for thread in threads)
    more = f"; and {len(cycle) - SHOWN} more" if len(cycle) > SHOWN else ""
    if len(cycle) == 1:
        handling = handlers.waiting_in_handler(threads[0])
        title = f"Self-deadlock: {locks.name(threads[0])} waits for a lock that it holds{locks.place(threads[0])}"
        remedy = (
            "Do not take the lock again while it is held: split the function into a locked entry and an"
            " unlocked part; a recursive mutex only if the state is consistent at that point."
        )
        if handling is not None:
            title += handling.words
            remedy = _HANDLER
            evidence += [
                (f"threads[{cycle[0]}].frames[{handling.handler}].function", "the handler"),
                (f"threads[{cycle[0]}].frames[{handling.interrupted}].function", "what it interrupted"),
            ]
            more += (
                ". The lock is the code's that the signal interrupted, unless the handler took it twice: that code"
                " can't go on to give it back before the handler returns"
            )
    else:
        names = ", ".join(f"{locks.name(thread)}{locks.place(thread)}" for thread in threads[:3])
        title = f"Deadlock of {len(cycle)} threads: {names}"
        title += (
            f" and {len(cycle) - 3} more threads" if len(cycle) > 4 else " and another thread" if len(cycle) > 3 else ""
        )
        remedy = _remedy({thread.wait.kind for thread in threads if thread.wait is not None})
    return Finding(
        rule=RULE.id,
        title=title,
        severity="critical",
        confidence="likely" if timed else "certain",
        claim="cause",
        rivals=("A time limit of a wait in the circle that runs out, after which that thread gives way.",)
        if timed
        else (),
        explanation="; ".join(told)
        + more
        + (
            ". A wait of them has a time limit: until it runs out none can go on."
            if timed
            else f". {'It can never' if len(cycle) == 1 else 'None of them can'} go on, however long it waits."
        ),
        evidence=proof(report, *evidence),
        remedies=(remedy, *(() if _only_joins(threads) or remedy is _HANDLER else (_SANITIZER,))),
    )


_LIMITED = "A time limit of a wait in the circle that runs out, after which that thread gives way."
_SANITIZER = (
    "ThreadSanitizer (-fsanitize=thread) reports such inversions of order without the deadlock having to happen."
)


_HANDLER = (
    "Take no locks in a handler of a signal, nor call what does (malloc, printf, most of libc: see signal-safety(7)):"
    " let it set a flag or write to a pipe (self-pipe, signalfd), or take the signal in a thread of its own by"
    " sigwait(). A recursive mutex would let the handler change data that are half changed."
)


def _allocating(report: Report, index: int, handling: handlers.Handling) -> Finding:
    """The allocator's own lock names no owner; that the interrupted code was in the allocator tells who has it."""
    thread = report.threads[index]
    return Finding(
        rule=RULE.id,
        title=f"Self-deadlock: {locks.name(thread)} waits for the allocator's lock{handling.words}",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=("Another thread has that lock of the allocator, and was about to give it back.",),
        explanation=(
            f"{locks.name(thread)} waits in the allocator for its lock, in a handler of a signal that interrupted the"
            " allocator itself in the same thread. That lock records no owner; most likely it is held by the call that"
            " was interrupted, which can't go on before the handler returns."
        ),
        evidence=proof(
            report,
            (f"threads[{index}].wait.kind", "what it waits for"),
            (f"threads[{index}].wait.address", "the lock's word"),
            (f"threads[{index}].frames[{handling.handler}].function", "the handler"),
            (f"threads[{index}].frames[{handling.interrupted}].function", "what it interrupted"),
        ),
        remedies=(_HANDLER,),
    )


def _only_joins(threads: list[Thread]) -> bool:
    return all(thread.wait is not None and thread.wait.kind in locks.JOINS for thread in threads)


def _remedy(kinds: set[str]) -> str:
    if kinds.isdisjoint(locks.JOINS):
        return "Take these locks in the same order in all threads, or all at once with std::scoped_lock or std::lock."
    if kinds == locks.JOINS:
        return "Let one thread join the others, the one that started them; no thread may join one that waits for it."
    return "Release the lock before joining a thread that needs it in order to end."


def _readers(report: Report, found: locks.ReadersDeadlock) -> Finding:
    threads = [(index, report.threads[index]) for index in found.waiters]
    writers = [item for item in threads if item[1].wait is not None and item[1].wait.writing]
    address = threads[0][1].wait.address if threads[0][1].wait is not None else None
    names = ", ".join(f"{locks.name(thread)}{locks.place(thread)}" for _, thread in writers[:3])
    left = len(found.others)
    return Finding(
        rule=RULE.id,
        title=f"Deadlock of a read-write lock: {names} {'waits' if len(writers) == 1 else 'wait'} to write, and readers"
        " that wait too hold it",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=(
            "A thread that read under the lock more than once, or ended without unlocking it.",
            "A waiter that was just about to be woken.",
        ),
        explanation=(
            f"The read-write lock at {address or 0:#x} is held by {found.readers} reader"
            f"{'s' if found.readers > 1 else ''}, and {len(threads)} thread{'s wait' if len(threads) > 1 else ' waits'}"
            f" for it, {len(writers)} of them to write. Who the readers are is not recorded;"
            + (
                " every thread of the process waits for the lock or for a thread that does, so nobody is left to give"
                " it back."
                if not left
                else f" only {left} thread{'s are' if left > 1 else ' is'} left that could give it back, so at least"
                f" {found.readers - left} of those that wait hold{'s' if found.readers - left == 1 else ''} it"
                " for reading."
            )
            + " A lock that a thread holds for reading can't be taken by it for writing."
        ),
        evidence=proof(
            report,
            *(
                (f"threads[{index}].wait.address", f"the lock that {locks.name(one)} waits for")
                for index, one in threads[:SHOWN]
            ),
            (f"threads[{writers[0][0]}].wait.readers", "readers that hold it, from the lock's memory"),
            ("threads", "threads of the process"),
        ),
        remedies=(
            "Release the read lock before asking for the write lock, and check again under it what was read; or take"
            " the write lock from the beginning.",
            "Look at the callers of the functions named, in their stacks, for the one that took the lock for reading.",
        ),
    )


RULE = Rule(id="mutex-deadlock", group="process", specificity=38, check=check, documentation=__doc__ or "")
