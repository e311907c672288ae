"""Deadlock of mutexes or read-write locks.

What it finds: threads that wait for each other in a cycle, or a thread that waits for a lock of its own.
Why it matters: such a process never goes on; a watchdog's or an operator's signal is only its end.
Evidence it needs: what each thread waits for, and the owner recorded in the lock's memory.
False alarms: a waiter caught just before it was woken; a cycle needs every edge at once, which that is not.
An owner that has ended, or that lives in the parent process, makes no cycle.
Rivals excluded: a queue for a lock whose owner runs: every edge of the circle is read from memory; an owner that has
ended.
What to do: take locks in one order everywhere, or together (std::scoped_lock).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import locks
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = 8
"""Threads of a cycle that are told in words; evidence has as many."""


def check(report: Report) -> Iterator[Finding]:
    """One finding for each cycle."""
    for cycle in locks.cycles(report):
        yield _finding(report, cycle)


def _finding(report: Report, cycle: tuple[int, ...]) -> Finding:
    threads = [report.threads[index] for index in cycle]
    told = []
    evidence: list[tuple[str, str]] = []
    for index, thread in list(zip(cycle, threads, strict=True))[:SHOWN]:
        wait = thread.wait
        if wait is None:
            continue
        at = f" at {wait.address:#x}" if wait.address is not None else ""
        told.append(
            f"{locks.name(thread)} waits{locks.place(thread)} for the {wait.kind}{at} held by thread {wait.owner}"
        )
        evidence.append((f"threads[{index}].wait.address", f"the {wait.kind} that {locks.name(thread)} waits for"))
        evidence.append((f"threads[{index}].wait.owner", "its owner, from the lock's memory"))
    more = f"; and {len(cycle) - SHOWN} more" if len(cycle) > SHOWN else ""
    if len(cycle) == 1:
        title = f"Self-deadlock: {locks.name(threads[0])} waits for a lock that it holds{locks.place(threads[0])}"
        remedy = (
            "Do not take the lock again while it is held: split the function into a locked entry and an"
            " unlocked part; a recursive mutex only if the state is consistent at that point."
        )
    else:
        names = ", ".join(f"{locks.name(thread)}{locks.place(thread)}" for thread in threads[:3])
        title = f"Deadlock of {len(cycle)} threads: {names}"
        title += (
            f" and {len(cycle) - 3} more threads" if len(cycle) > 4 else " and another thread" if len(cycle) > 3 else ""
        )
        remedy = "Take these locks in the same order in all threads, or all at once with std::scoped_lock or std::lock."
    return Finding(
        rule=RULE.id,
        title=title,
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation="; ".join(told) + more + ". None of them can go on, however long it waits.",
        evidence=proof(report, *evidence),
        remedies=(
            remedy,
            (
                "ThreadSanitizer (-fsanitize=thread) reports such inversions of order without the deadlock"
                " having to happen."
            ),
        ),
    )


RULE = Rule(id="mutex-deadlock", group="process", specificity=38, check=check, documentation=__doc__ or "")
