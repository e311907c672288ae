"""Killed by a signal from another process.

What it finds: the signal that ended the process was sent to it; it made no fault of its own.
Why it matters: the stacks show where it was, not what went wrong; the question is who sent it, and why.
Evidence it needs: si_code SI_USER, SI_QUEUE or SI_TKILL with a sender that is not this process.
False alarms: in another PID name space the sender may read 0; then "outside of its name space" is said.
Rivals excluded: a fault: the CPU raised none; a signal that the process sent to itself.
What to do: look at the sender: a supervisor's watchdog, a timeout, an operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import javathreads, locks
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUPERVISED = (
    " Supervisors send SIGABRT or SIGQUIT to a service that no longer answers, so the threads are worth a look for"
    " what they wait for, or run."
)


_COMMANDED = (
    " The JVM was told to run a command that sends a signal when an OutOfMemoryError is thrown; if it did, the memory"
    " that was used up is the cause, and the thread that asked last may have ended since."
)
_LOOK_AT_PAUSES = (
    "See in the GC log (-Xlog:gc,safepoint; JDK 8: -Xloggc, -XX:+PrintGCApplicationStoppedTime) how long such pauses"
    " were: one longer than the supervisor's patience ends the service."
)
_LOOK_FOR_MEMORY = "Look for what used the memory up: the heap by space, the class histogram, a heap dump."


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    signal = report.crash.signal
    if signal is None or signal.code not in (views.SI_USER, views.SI_QUEUE, views.SI_TKILL):
        return
    if signal.number in (0, views.SIGSTOP):  # They end no process: a snapshot.
        return
    if signal.sender_pid is None or report.process.pid is None or signal.sender_pid == report.process.pid:
        return
    sender = f"process {signal.sender_pid}"
    if signal.sender_pid == 0:
        sender = "a process outside of its PID name space, or the kernel"
    elif signal.sender_pid == report.process.ppid:
        sender += ", its parent"
    elif signal.sender_pid == 1:
        sender += ", the init process"
    command = _own_command(report)
    guess = ", most likely the JVM's own OnOutOfMemoryError command" if command else ""
    user = f" of user {signal.sender_uid}" if signal.sender_uid is not None else ""
    where = "" if _is_launcher(report) else views.inside(report)
    operation = _operation(report)
    supervised = signal.name in ("SIGABRT", "SIGQUIT") and not command
    java = views.java_process(report)
    waiting = (javathreads.doing(report) if java else locks.waiting(report)) if supervised else ""
    yield Finding(
        rule=RULE.id,
        title=f"{signal.name} sent by {sender}{guess}: not a crash of its own",
        severity="high",
        confidence="certain",
        claim="cause",
        explanation=(
            f"{signal.name} came from {sender}{user}. No instruction of this process faulted; its stacks show"
            " what it was doing when the signal"
            f" came{' (the first thread was' + where + ')' if where else ''}."
            + (_SUPERVISED if supervised else "")
            + (f" {waiting}." if waiting else "")
            + (_COMMANDED if command else "")
            + (f" The VM was at a safepoint for {operation}: all Java threads stood still." if operation else "")
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "sent, not raised by a fault"),
            ("crash.signal.sender_pid", "by this process"),
            ("crash.signal.sender_uid", "of this user"),
            ("process.pid", "this process"),
            (command, "the command that the JVM runs when memory is used up"),
            ("jvm.vm_operation" if operation else "", "what the VM was at"),
            ("jvm.safepoint.state" if operation else "", "with the Java threads"),
            *((javathreads.evidence(report) if java else locks.running_evidence(report)) if waiting else ()),
        ),
        remedies=(
            *([_LOOK_FOR_MEMORY] if command else []),
            *([_LOOK_AT_PAUSES] if operation else []),
            (
                f"Find out what process {signal.sender_pid} is: journalctl _PID={signal.sender_pid}, the"
                " supervisor's log, audit records (ausearch -sc kill)."
            ),
            *((locks.SECOND_LOOK,) if waiting and locks.running(report) else ()),
            (
                "If a watchdog sent it, look at the threads of this report, those that wait and those that run, for"
                " what kept the service from answering."
            ),
        ),
    )


def _is_launcher(report: Report) -> bool:
    """The signal went to the first thread of a `java` process, which only waits for the thread that runs main()."""
    found = views.crashing_thread(report)
    if found is None or not views.java_process(report):
        return False
    return found[1].tid == report.process.pid and jvm_frames.telling(found[1].frames) is None


def _operation(report: Report) -> str | None:
    """The VM operation that held all Java threads when the signal came."""
    jvm = report.jvm
    if jvm is None or jvm.safepoint is None or jvm.safepoint.state != "synchronized" or report.crash.unwrapped:
        return None
    return jvm.vm_operation


def _own_command(report: Report) -> str:
    """Where -XX:OnOutOfMemoryError stands, if it sends signals."""
    found = jvm_views.flag(report, "OnOutOfMemoryError")
    return found[0] if found is not None and "kill" in found[1] else ""


RULE = Rule(id="killed-by-signal", group="fault", specificity=30, check=check, documentation=__doc__ or "")
