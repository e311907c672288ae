"""Safepoint that is not reached.

What it finds: the VM has asked all Java threads to stop, and some have not.
Why it matters: until the last one stops, none of the others runs: the whole process hangs for one loop.
Evidence it needs: the safepoint's state, how many threads it waits for, and which threads run Java code.
False alarms: every safepoint passes through this state; a core may hit that moment, which lasts microseconds. A signal
that was sent because the process hung makes it the cause. A thread that waits in a signal handler, as those do that
fault while the VM reports an error, is not counted. Where the VM reported an error, it must have waited for half a
second when that began; where the time is not known, the stall is possible only.
What to do: give the loop that does not stop a place to stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNNING = ("_thread_in_Java", "_thread_in_Java_trans", "_thread_in_vm", "_thread_in_native_trans", "_thread_new_trans")
_MOST = 5
_LEAST_WAITED = 0.5


RIVALS = (
    "A safepoint caught in the moment that each of them takes.",
    "A machine that was suspended or had no processor to give.",
)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    jvm = report.jvm
    point = jvm.safepoint if jvm is not None else None
    if jvm is None or point is None or point.state != "synchronizing" or jvm_views.own_fault(report):
        return  # A thread that crashed can't stop for a safepoint while the crash is being reported.
    late = [
        (index, thread)
        for index, thread in enumerate(report.threads)
        if thread.java is not None and thread.java.thread_state in _RUNNING
    ]
    # While an error is reported, threads that fault wait in their handlers.
    handling = [
        index
        for index, thread in late
        if views.in_signal_handler(report, thread) and not (thread.crashed and _picked(report))
    ]
    late = [(index, thread) for index, thread in late if index not in handling]
    if not late and (point.waiting_to_block or 0) <= len(handling):
        return
    # What was written after an error is of a moment when the VM was about to end.
    afterwards = (report.crash.unwrapped or views.is_log(report)) and not _picked(report)
    if afterwards and point.waited is not None and point.waited < _LEAST_WAITED:
        return
    described = []
    evidence = [
        ("jvm.safepoint.state", "the safepoint"),
        ("jvm.safepoint.waiting_to_block", "threads it still waits for"),
        ("jvm.vm_operation", "what it is for"),
        ("jvm.safepoint.waited", "seconds that it had waited when the error came"),
    ]
    for index, thread in late[:_MOST]:
        at = next((n for n, frame in enumerate(thread.frames) if jvm_frames.is_java(frame)), None)
        where = "" if at is None else f" in {jvm_frames.java_place(thread.frames[at])}"
        described.append(f"{thread.name or 'a thread'} ({thread.tid}){where}")
        evidence.append((f"threads[{index}].java.thread_state", f"{thread.name or thread.tid} still runs"))
        if at is not None:
            evidence.append((f"threads[{index}].frames[{at}].function", "this"))
    operation = f" for {jvm.vm_operation}" if jvm.vm_operation else ""
    since = f" It had waited for {point.waited:.1f} s when the error was reported." if point.waited else ""
    who = "; ".join(described) or "which threads, their states do not tell"
    yield Finding(
        rule=RULE.id,
        title=f"Safepoint{operation} not reached: {described[0] if described else 'a thread does not stop'}"[:200],
        severity="critical",
        confidence="likely" if late and (point.waited or not afterwards) else "possible",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"The VM stops all Java threads{operation} and waits for {point.waiting_to_block or len(late) or 'some'} of"
            f" them: {who}.{since} Compiled code looks for the request at polls; a counted loop without one, a large"
            " array copy, or a page that is slow to come keeps everyone waiting."
        ),
        evidence=proof(report, *evidence),
        remedies=(
            "Look at the loop that the thread runs. -XX:+UseCountedLoopSafepoints puts polls into counted loops;"
            " splitting the loop, or a long counter, does the same.",
            "-Xlog:safepoint shows how long each safepoint took to reach; -XX:+SafepointTimeout names the late thread.",
        ),
    )


def _picked(report: Report) -> bool:
    """Whether the VM itself sent the signal, to the thread that is late: AbortVMOnSafepointTimeout."""
    signal = report.crash.signal
    return signal is not None and signal.sender_pid is not None and signal.sender_pid == report.process.pid


RULE = Rule(id="jvm-safepoint-stall", group="jvm", specificity=86, check=check, documentation=__doc__ or "")
