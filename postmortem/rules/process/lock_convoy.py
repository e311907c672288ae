"""Lock convoy.

What it finds: many threads that wait for one lock, whose owner is not waiting for one of theirs.
Why it matters: the process is as slow as that owner; what the owner does while it holds the lock is the
cause.
Evidence it needs: what each thread waits for, and the owner recorded in the lock's memory.
False alarms: a snapshot may catch a short queue; so at least four waiters and a quarter of the threads
count. Whoever is interrupted by a signal keeps its locks as long as the handler runs, a crash reporter for example.
What to do: shorten what is done under the lock; no input/output while holding it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import locks
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

FEWEST_WAITERS = 4
SHARE = 4
"""One in so many threads must wait for the lock."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding, about the longest queue."""
    in_cycles = {index for cycle in locks.cycles(report) for index in cycle}
    by_tid = {thread.tid: index for index, thread in enumerate(report.threads)}
    queues = sorted(locks.queues(report).items(), key=lambda item: len(item[1]), reverse=True)
    for (address, owner), waiters in queues:
        holder = by_tid.get(owner)
        if len(waiters) < max(FEWEST_WAITERS, len(report.threads) // SHARE) or holder is None or holder in in_cycles:
            continue
        thread = report.threads[holder]
        if views.in_signal_handler(report, thread):
            continue
        doing = locks.place(thread)
        blocked = f", blocked in the system call {thread.wait.syscall}" if thread.wait else ""
        yield Finding(
            rule=RULE.id,
            title=f"{len(waiters)} threads wait for one lock held by {locks.name(thread)}{doing}",
            severity="high",
            confidence="likely",
            claim="observation",
            explanation=(
                f"{len(waiters)} of {len(report.threads)} threads wait for the lock at {address:#x}. Its"
                f" owner is {locks.name(thread)}{doing}{blocked}. The others can go on only when it lets the"
                " lock go."
            ),
            evidence=proof(
                report,
                (f"threads[{waiters[0]}].wait.address", "the lock"),
                (f"threads[{waiters[0]}].wait.owner", "its owner, from the lock's memory"),
                (f"threads[{waiters[-1]}].wait.address", "the same lock, another thread"),
                (f"threads[{holder}].wait.syscall", "what the owner is blocked in"),
                (f"threads[{holder}].frames[0].pc", "where the owner was"),
            ),
            remedies=(
                (
                    f"Look at what the owner does{doing} while it holds the lock; move input/output and"
                    " waiting out of it."
                ),
                "Split the lock or its data, or use a read-write lock if most of the waiters only read.",
            ),
        )
        return


RULE = Rule(id="lock-convoy", group="process", specificity=34, check=check, documentation=__doc__ or "")
