"""Convoy behind a Java lock.

What it finds: many Java threads that wait for one monitor or java.util.concurrent lock, whose holder is in no deadlock.
Why it matters: the process is as slow as the holder; what that does while it holds the lock is the cause.
Evidence it needs: what each thread is blocked on and who holds it, from the VM's monitors and the owners of locks.
False alarms: a snapshot may catch a short queue, so at least four waiters and a quarter of the Java threads count; one
that a signal's handler has interrupted keeps its locks as long as that runs.
What to do: shorten what is done under the lock; no input, output or waiting while it is held.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.process import lock_convoy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Thread


def check(report: Report) -> Iterator[Finding]:
    """At most one finding, about the longest queue."""
    java = [(index, thread) for index, thread in enumerate(report.threads) if thread.java is not None]
    queues: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for index, thread in java:
        if thread.java is not None and thread.java.blocked_on and thread.java.blocked_by:
            queues[thread.java.blocked_on, thread.java.blocked_by].append(index)
    locked = {member.name for deadlock in (report.jvm.deadlocks if report.jvm else ()) for member in deadlock.threads}
    for (lock, name), waiters in sorted(queues.items(), key=lambda item: -len(item[1])):
        if len(waiters) < max(lock_convoy.FEWEST_WAITERS, len(java) // lock_convoy.SHARE) or name in locked:
            continue
        holders = [(index, thread) for index, thread in java if thread.name == name]
        if len(holders) != 1 or views.in_signal_handler(report, holders[0][1]):
            continue
        yield _finding(report, lock, waiters, *holders[0])
        return


def _finding(report: Report, lock: str, waiters: list[int], holder: int, thread: Thread) -> Finding:
    at = jvm_frames.telling(thread.frames)
    doing = "" if at is None else f" in {jvm_frames.java_place(thread.frames[at])}"
    state = f" ({thread.java.state})" if thread.java is not None and thread.java.state else ""
    wait = thread.java.blocked_on if thread.java is not None else None
    waits = f" It waits itself, for {wait}." if wait else ""
    return Finding(
        rule=RULE.id,
        title=f'{len(waiters)} threads wait for {lock}, held by "{thread.name}"{doing}'[:200],
        severity="high",
        confidence="likely",
        claim="observation",
        explanation=(
            f"{len(waiters)} Java threads wait for {lock}. Its holder is {thread.name} ({thread.tid}){state}{doing}."
            f"{waits} The others can go on only when it lets the lock go."
        ),
        evidence=proof(
            report,
            (f"threads[{waiters[0]}].java.blocked_on", "the lock"),
            (f"threads[{waiters[0]}].java.blocked_by", "its holder"),
            (f"threads[{waiters[-1]}].java.blocked_on", "the same lock, another thread"),
            (f"threads[{holder}].java.state", "the holder's state"),
            (f"threads[{holder}].java.blocked_on", "what the holder waits for"),
            ("" if at is None else f"threads[{holder}].frames[{at}].function", "where the holder stands"),
        ),
        remedies=(
            f"Look at what {thread.name} does{doing} while it holds the lock; move input, output and waiting out of"
            " it.",
            "Split the lock or its data, or use a ReadWriteLock or a concurrent collection if most only read.",
        ),
    )


RULE = Rule(id="jvm-lock-convoy", group="jvm", specificity=35, check=check, documentation=__doc__ or "")
