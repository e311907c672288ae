"""Finalizer that waits for a lock.

What it finds: the thread that runs finalizers or cleaners waits for a lock, and its holder itself sleeps or waits.
Why it matters: one thread runs all finalizers: while it waits, no object that has one is given back, nor what those
refer to, and native resources that they should release pile up.
Evidence it needs: what the thread waits for, its holder, and that the holder does not run.
False alarms: the holder may wake up soon and give the lock back.
What to do: take no lock in a finalizer that is held while something else is waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _waits as waits
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Thread

_LOOPS = {
    "java.lang.ref.Finalizer$FinalizerThread.run": "finalizers",
    "java.lang.ref.Reference$ReferenceHandler.run": "references",
    "jdk.internal.ref.CleanerImpl.run": "cleaners",
}
_FINALIZERS = "finalizers"


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    jvm = report.jvm
    if jvm is None or not waits.standing(report):
        return
    stuck = {member.tid for cycle in jvm.deadlocks for member in cycle.threads}
    for index, thread in enumerate(report.threads):
        work = _work(thread)
        java = thread.java
        if work is None or java is None or java.wait_kind != "lock" or java.waits_for_tid is None:
            continue
        if thread.tid in stuck or java.waits_for_tid in stuck:
            continue  # the cycle is the finding
        number, holder = next((i, t) for i, t in enumerate(report.threads) if t.tid == java.waits_for_tid)
        if waits.state(holder) not in ("TIMED_WAITING", "WAITING", "BLOCKED"):
            continue
        own, place, doing = waits.own_frame(thread), waits.place(thread), waits.place(holder)
        queue = jvm.finalizer_queue if work == _FINALIZERS else None
        pile = f" {queue} objects wait for their finalizer." if queue else ""
        yield Finding(
            rule=RULE.id,
            title=(
                f"The thread that runs {work}, {waits.name(thread)}, waits in {place} for a lock that"
                f" {waits.name(holder)} holds in {doing}"
            )[:300],
            severity="high",
            confidence="likely",
            claim="observation",
            rivals=("The holder is about to go on and gives the lock back.",),
            explanation=(
                f"{waits.name(thread)} (thread {thread.tid}) wants {java.blocked_on}, which {waits.name(holder)}"
                f" (thread {holder.tid}) holds. That one is {waits.state(holder)} in {doing} and does not give it back"
                f" meanwhile. One thread runs all {work} of the process, so none runs until then.{pile}"
            ),
            evidence=proof(
                report,
                (f"threads[{index}].java.blocked_on", f"{waits.name(thread)} wants this"),
                (f"threads[{index}].java.blocked_by", "its holder"),
                (f"threads[{index}].frames[{own}].function", "where it wants it"),
                (f"threads[{number}].java.state", "the state of the holder"),
                (f"threads[{number}].frames[{waits.own_frame(holder)}].function", "where the holder is"),
                ("jvm.finalizer_queue" if queue else "", "objects that wait for their finalizer"),
            ),
            remedies=(
                f"Let {place} take no lock; where it must, never sleep or wait while holding that lock ({doing}).",
                "Replace finalize() by try-with-resources, with a java.lang.ref.Cleaner as a net.",
            ),
        )
        return


def _work(thread: Thread) -> str | None:
    """What a thread runs one after another for the whole process; None: it is another thread."""
    return next((_LOOPS[frame.function] for frame in thread.frames if frame.function in _LOOPS), None)


RULE = Rule(id="jvm-finalizer-blocked", group="jvm", specificity=36, check=check, documentation=__doc__ or "")
