"""Safepoint that is not reached.

What it finds: the VM has asked all Java threads to stop, and some have not.
Why it matters: until the last one stops, none of the others runs: the whole process hangs for one loop.
Evidence it needs: the safepoint's state, how many threads it waits for, and which threads run Java code.
False alarms: every safepoint passes through this state, and a core of a busy process often hits that moment. So it
must have lasted for half a second when the core was made or the VM began to report an error, or for a tenth where a
thread is in a loop of compiled code without a poll. Where that time is not known (a stripped libjvm, no hsperfdata,
JDK 25 and newer), a thread must be in such a loop while the VM thread has waited long enough to go to sleep; else the
stall is a mere possibility and never the verdict. A thread that waits in a signal handler, as those do that fault
while the VM reports an error, is not counted.
What to do: give the loop that does not stop a place to stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNNING = ("_thread_in_Java", "_thread_in_Java_trans", "_thread_in_vm", "_thread_in_native_trans", "_thread_new_trans")
_MOST = 5
_LEAST_WAITED = 0.5
_LEAST_WAITED_IN_LOOP = 0.1
_PAUSES = ("os::naked_short_sleep", "os::naked_sleep")
_REMARK = 15
"""Specificity where the time is not known: beside whatever ended the process."""


RIVALS = (
    "A safepoint caught in the moment that each of them takes.",
    "A machine that was suspended or had no processor to give.",
)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
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
    unpolled = [(index, thread) for index, thread in late if thread.java and thread.java.loop_polls is False]
    least = _LEAST_WAITED_IN_LOOP if unpolled and not afterwards else _LEAST_WAITED
    if point.waited is not None and point.waited < least and not _picked(report):
        return
    described: list[str] = []
    evidence = [
        ("jvm.safepoint.state", "the safepoint"),
        ("jvm.safepoint.waiting_to_block", "threads it still waits for"),
        ("jvm.vm_operation", "what it is for"),
        ("jvm.safepoint.waited", "seconds that it had waited when the error came"),
    ]
    # The VM itself sends the signal where -XX:+AbortVMOnSafepointTimeout waited in vain.
    asleep = _asleep(report)
    sure = bool(late) and (point.waited is not None or _picked(report) or bool(unpolled and asleep))
    if unpolled:
        evidence.append((f"threads[{unpolled[0][0]}].java.loop_polls", "no poll in the loop that it runs"))
        if asleep is not None:
            evidence.append((asleep, "the VM waits with growing pauses: this one comes after the first millisecond"))
        late = [*unpolled, *(item for item in late if item not in unpolled)]
    for index, thread in late[:_MOST]:
        at = next((n for n, frame in enumerate(thread.frames) if jvm_frames.is_java(frame)), None)
        where = "" if at is None else f" in {jvm_frames.java_place(thread.frames[at])}"
        described.append(f"{thread.name or 'a thread'} ({thread.tid}){where}")
        evidence.append((f"threads[{index}].java.thread_state", f"{thread.name or thread.tid} still runs"))
        if at is not None:
            evidence.append((f"threads[{index}].frames[{at}].function", "this"))
    who = "; ".join(described) or "which threads, their states do not tell"
    operation = f" for {jvm.vm_operation}" if jvm.vm_operation else ""
    when = "the error was reported" if afterwards else "the core was made"
    since = (
        f" It had waited for {point.waited:.1f} s when {when}."
        if point.waited
        else " For how long is not known: every safepoint passes through this state, mostly in microseconds."
    )
    yield Finding(
        rule=RULE.id,
        title=f"Safepoint{operation} not reached: {described[0] if described else 'a thread does not stop'}"[:200],
        severity="critical",
        confidence="likely" if sure else "possible",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"The VM stops all Java threads{operation} and waits for {point.waiting_to_block or len(late) or 'some'} of"
            f" them: {who}.{since} Compiled code looks for the request at polls; a counted loop without one, a large"
            " array copy, or a page that is slow to come keeps everyone waiting."
        ),
        evidence=proof(report, *evidence),
        specificity=None if sure else _REMARK,
        remedies=(
            "Look at the loop that the thread runs. -XX:+UseCountedLoopSafepoints puts polls into counted loops;"
            " splitting the loop, or a long counter, does the same.",
            "-Xlog:safepoint shows how long each safepoint took to reach; -XX:+SafepointTimeout names the late thread.",
        ),
    )


def _asleep(report: Report) -> str | None:
    """The path of the VM thread's long pause between two looks at the threads (SafepointSynchronize::back_off)."""
    for index, thread in enumerate(report.threads):
        names = [plain(frame.function or "") for frame in thread.frames[:12]]
        found = next((n for n, name in enumerate(names) if name in _PAUSES), None)
        if found is not None and any(name.startswith("SafepointSynchronize::") for name in names[found:]):
            return f"threads[{index}].frames[{found}].function"
    return None


def _picked(report: Report) -> bool:
    """Whether the VM itself sent the signal, to the thread that is late: AbortVMOnSafepointTimeout."""
    signal = report.crash.signal
    if signal is None or not views.signal_is(report, views.SIGILL):
        return False
    return signal.sender_pid is not None and signal.sender_pid == report.process.pid


RULE = Rule(id="jvm-safepoint-stall", group="jvm", specificity=86, check=check, documentation=__doc__ or "")
