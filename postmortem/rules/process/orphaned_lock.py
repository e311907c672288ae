"""Wait for a lock whose owner is not in the process.

What it finds: a thread that waits for a lock that a thread owns which this process does not have.
Why it matters: nobody will ever release it: the owner ended without unlocking, or the process was forked
while another thread held it.
Evidence it needs: the owner recorded in the lock's memory, and the threads of the core.
False alarms: damaged lock memory; so the finding is likely only.
What to do: robust mutexes for owners that may die; exec or posix_spawn right after fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import locks
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


RIVALS = ("Memory of the lock that something overwrote.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding, about the first such thread."""
    for index, thread in enumerate(report.threads):
        wait = thread.wait
        if wait is None or wait.kind not in locks.LOCKS or not wait.owner or wait.owner_in_core is not False:
            continue
        alone = len(report.threads) == 1
        yield Finding(
            rule=RULE.id,
            title=(
                f"{locks.name(thread)} waits for a {wait.kind} whose owner {wait.owner} is not in this"
                f" process{locks.place(thread)}"
            ),
            severity="medium",
            confidence="likely",
            claim="cause",
            rivals=RIVALS,
            explanation=(
                f"The {wait.kind} names thread {wait.owner} as its owner, and this process has no such thread. "
            )
            + (
                "The process has a single thread, so it is most likely a forked child whose parent's thread"
                " held the lock."
                if alone
                else (
                    "The owner ended without unlocking, or the process was forked while a thread of the"
                    " parent held the lock."
                )
            ),
            evidence=proof(
                report,
                (f"threads[{index}].wait.owner", "the owner, from the lock's memory"),
                (f"threads[{index}].wait.address", "the lock"),
                ("threads", "threads of this process"),
            ),
            remedies=(
                (
                    "After fork in a process with threads call only async-signal-safe functions and exec; or"
                    " use posix_spawn."
                ),
                "For owners that may end: PTHREAD_MUTEX_ROBUST, and scope guards that unlock on all paths.",
            ),
        )
        return


RULE = Rule(id="orphaned-lock", group="process", specificity=32, check=check, documentation=__doc__ or "")
