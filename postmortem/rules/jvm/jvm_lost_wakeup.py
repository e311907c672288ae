"""Wait that no thread is left to end.

What it finds: all threads of the application wait without a time-out, and one of them in Object.wait(), while no thread
runs, sleeps or is in native code that could notify it.
Why it matters: a notification that came too early, or was never sent, is lost: the process does nothing for ever, and
jstack reports no deadlock, for no lock is held.
Evidence it needs: the states of all Java threads and what each waits for; no virtual threads and no foreign threads.
False alarms: what is not in the process may wake it: a shutdown hook, a handler of a signal, JMX. A main thread that
only keeps its process alive waits so, too: at least one other thread must wait for the end of the one that waits.
What to do: wait in a loop over a condition, and notify where that is changed, under the same lock.
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

_MOST = 4


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    jvm = report.jvm
    if jvm is None or not waits.standing(report) or jvm.deadlocks or jvm.virtual_thread_states or jvm.virtual_threads:
        return
    threads = _application(report)
    if threads is None:
        return
    joined = {thread.java.waits_for_tid for _, thread in threads if thread.java and thread.java.wait_kind == "join"}
    for index, thread in threads:
        java = thread.java
        if java is None or thread.tid not in joined or not waits.on_monitor(thread) or java.blocked_by is not None:
            continue
        who = [(n, t) for n, t in threads if t.java is not None and t.java.waits_for_tid == thread.tid]
        names = ", ".join(waits.name(t) for _, t in who[:_MOST])
        own = waits.own_frame(thread)
        place = waits.place(thread)
        lock = java.blocked_on or "a monitor"
        yield Finding(
            rule=RULE.id,
            title=f"No thread is left to notify {waits.name(thread)}, which waits on {lock} in {place}"[:300],
            severity="high",
            confidence="likely",
            claim="observation",
            rivals=("A shutdown hook, a handler of a signal or a request from outside is to notify it.",),
            explanation=(
                f"{waits.name(thread)} (thread {thread.tid}) is in Object.wait() without a time-out, on {lock}, called"
                f" in {place}; {names} {'waits' if len(who) == 1 else 'wait'} for its end. All {len(threads)} threads"
                " of the application wait without a time-out; none runs, sleeps or is in native code, so none can send"
                " a notification. Either it was sent before the wait began, or the code that sends it was never"
                " reached."
            ),
            evidence=proof(
                report,
                (f"threads[{index}].java.state", f"the state of {waits.name(thread)}"),
                (f"threads[{index}].java.blocked_on", "it waits on"),
                (f"threads[{index}].frames[{own}].function", "here"),
                *((f"threads[{n}].java.blocked_on", f"{waits.name(t)} waits for its end") for n, t in who[:_MOST]),
            ),
            remedies=(
                f"Look in {place} for the condition that is waited for: check it in a loop around wait(), and notify"
                " under the same lock wherever it changes, also when the work ends.",
                "Give the wait a time-out, or use what remembers a signal: a queue, a latch, a CompletableFuture.",
            ),
        )
        return


def _application(report: Report) -> list[tuple[int, Thread]] | None:
    """The threads of the application, all of which wait without a time-out; None where one may go on."""
    found = []
    for index, thread in enumerate(report.threads):
        if thread.java is None:
            # The first thread of a launcher waits for the one that it made; any other may attach itself.
            if thread.tid != report.process.pid:
                return None
            continue
        if waits.of_vm(thread) or waits.idle(thread):
            continue
        if waits.state(thread) not in ("WAITING", "BLOCKED"):
            return None
        found.append((index, thread))
    return found


RULE = Rule(id="jvm-lost-wakeup", group="jvm", specificity=34, check=check, documentation=__doc__ or "")
