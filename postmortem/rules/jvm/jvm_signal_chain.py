"""Another library took the JVM's signal handler.

What it finds: a fault in Java code, or in the JVM, that was given to a foreign handler instead of the JVM's; as a
remark, a foreign handler for a signal that the JVM needs.
Why it matters: the JVM takes faults on purpose, for null checks, safepoint polls and stack checks, and mends them. A
handler in its place turns each of them into a crash.
Evidence it needs: the handler's frames above the fault, a fault in generated code (or the JVM's own probe) that no
handler had, or the log's list of signal handlers.
False alarms: a handler that passes the signal on to the JVM, and libjsig, are none.
Rivals excluded: a handler that passes the signal on to the JVM; libjsig; a fault outside of code for which the JVM
takes faults.
What to do: start with LD_PRELOAD of the JDK's libjsig.so, or have the library chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Confidence, Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.model.queries.suspects import suspects
from postmortem.rules import advice
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _stack as jvm_stack
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDED = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP")
"""Those that it takes for null checks, polls and traps; SIGPIPE and SIGXFSZ it only ignores in a way of its own."""
REMARK = 16
_PROBES = ("VM_Version stub", "get_cpu_info_stub", "getPsrInfo_stub")
"""Blobs of HotSpot cpu/x86/vm_version_x86.cpp, by the names that they had."""


RIVALS = ("A real fault that the JVM's own handler would have reported, too.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding of the stack, else at most one of the list of handlers."""
    if not jvm_views.is_jvm(report):
        return
    if _is_probe(report):
        yield _unhandled(report)
        return
    if jvm_views.unhandled(report):
        yield _not_in_place(report)
        return
    found = jvm_views.foreign_handler(report)
    if found is None:
        yield from _listed(report)
        return
    path, handler = found
    assert handler.module is not None
    library = file_name(handler.module)
    frame = jvm_frames.top(report)
    name = jvm_views.fault_name(report)
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    harmless, why = _purpose(report, address)
    confidence: Confidence = "certain" if harmless else "likely"
    last = report.crash.handler_signal
    ended = f" Then it ended the process with {last.name}." if last is not None else ""
    place = culprit.label(frame) if frame is not None else "Java code"
    java = jvm_frames.java_caller(report)
    yield Finding(
        rule=RULE.id,
        title=f"{library} handles {name} in the JVM's place: {culprit.label(handler)}",
        severity="critical",
        confidence=confidence,
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"{name}{at} was raised in {place}, and the handler that got it is {culprit.label(handler)} of {library},"
            f" not the JVM's.{ended} {why} Whoever installs a handler after the JVM must pass such signals on to it."
        ),
        evidence=proof(
            report,
            ("crash.signal.name", "the signal that the JVM would have taken"),
            (views.fault_address_path(report), "the address that was touched"),
            (f"{path}.function", "the handler that got it"),
            (f"{path}.module", "of this library"),
            ("crash.handler_signal.name", "how the handler ended it"),
            (views.frame_path(report, java[0]) if java else "", "the Java code that was interrupted"),
        ),
        remedies=(
            *advice.chained_handlers(report),
            f"Have {library} keep the handler that sigaction returns and call it for faults that are not its own, or"
            " install none for SIGSEGV, SIGBUS, SIGFPE and SIGILL.",
            "-Xcheck:jni warns when a handler of the JVM has been replaced.",
        ),
    )


def _is_probe(report: Report) -> bool:
    """The fault that the JVM provokes at its start, to see what the system keeps in a signal frame, has ended it."""
    frame = jvm_frames.top(report)
    if frame is None or frame.kind != "stub" or report.crash.unwrapped or not jvm_views.own_fault(report):
        return False
    return views.signal_is(report, views.SIGSEGV) and (frame.function or "") in _PROBES


def _unhandled(report: Report) -> Finding:
    preloaded = report.process.environment.get("LD_PRELOAD")
    suspect = f" LD_PRELOAD={preloaded} is the first suspect." if preloaded else ""
    return Finding(
        rule=RULE.id,
        title="The JVM's handler for SIGSEGV was not in place: its own probe at the start ended it",
        severity="critical",
        confidence="certain",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            "While it starts, the JVM faults on purpose in a stub of its own, to see whether the system keeps the wide"
            " registers in a signal frame, and its handler goes on behind it. Here no handler took the fault: something"
            f" has swallowed or undone its call of sigaction(), or blocks the signal.{suspect}"
        ),
        evidence=proof(
            report,
            (views.frame_path(report, 0), "the stub that faults on purpose"),
            (views.fault_address_path(report), "the address that it touches"),
            ("crash.instruction", "the faulting instruction"),
            ("process.environment.LD_PRELOAD" if preloaded else "", "what was loaded before the JVM"),
        ),
        remedies=(
            "Start without LD_PRELOAD and without agents; then add them one by one.",
            "A library that wraps sigaction() must pass on what the JVM asks for; libjsig of the JDK does it right.",
        ),
    )


def _not_in_place(report: Report) -> Finding:
    name = jvm_views.fault_name(report)
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    frame = jvm_frames.top(report)
    java = jvm_frames.java_caller(report)
    place = culprit.label(frame) if frame is not None else "Java code"
    _, why = _purpose(report, address)
    return Finding(
        rule=RULE.id,
        title=f"The JVM's handler for {name} did not run: {name} in {place} ended the process",
        severity="critical",
        confidence="certain" if jvm_views.unhandled_null_check(report) else "likely",
        claim="cause",
        rivals=("The handler was reset to the default action.", "The thread had the signal blocked."),
        explanation=(
            f"{name}{at} was raised in {place}, and ended the process by its default action: no handler is on the"
            f" stack, and the JVM reports no error. {why} The JVM installs its handler at its start and keeps it;"
            " native code must have reset it (signal() or sigaction() with SIG_DFL) or blocked the signal in this"
            " thread."
            f"{suspects(report)}"
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "raised by the CPU"),
            ("crash.unwrapped", "the core's own signal, not one behind a handler"),
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.instruction", "the faulting instruction"),
            (views.frame_path(report, 0), "where it was raised"),
            (views.frame_path(report, java[0]) if java else "", "the Java code"),
        ),
        remedies=(
            "Look in the native libraries and agents for signal(), sigaction() and pthread_sigmask(): SIGSEGV, SIGBUS,"
            " SIGFPE, SIGILL and SIGTRAP must keep the JVM's handler and stay unblocked.",
            "Run with -Xcheck:jni: it warns when a handler of the JVM has been replaced.",
            *advice.chained_handlers(report),
        ),
    )


def _purpose(report: Report, address: int | None) -> tuple[bool, str]:
    """Whether the JVM is sure to have mended this fault, and why it was raised."""
    frame = jvm_frames.top(report)
    if jvm_stack.in_stack_guard(report):
        return True, "The address is in the guard of the stack: the JVM would have thrown StackOverflowError."
    if address is not None and address < views.FIRST_PAGE and frame is not None and jvm_frames.is_java(frame):
        return (
            True,
            (
                "A fault in the first page is how compiled code checks for null: the JVM would have thrown"
                " NullPointerException, which the program may even expect."
            ),
        )
    return False, "The JVM uses such faults for null checks, safepoint polls, stack checks and safe reads of its own."


def _listed(report: Report) -> Iterator[Finding]:
    handlers = report.jvm.signal_handlers if report.jvm is not None else ()
    foreign = [
        (index, item)
        for index, item in enumerate(handlers)
        if item.signal in NEEDED
        and item.handler not in ("SIG_DFL", "SIG_IGN")
        and (item.expected is False or (item.library is not None and not jvm_frames.is_vm_library(item.library)))
    ]
    if not foreign:
        return
    index, item = next((entry for entry in foreign if entry[1].signal == jvm_views.fault_name(report)), foreign[0])
    names = ", ".join(entry.signal for _, entry in foreign)
    who = file_name(item.library) if item.library else (item.handler or "another handler")
    yield Finding(
        rule=RULE.id,
        title=f"{who} has replaced the JVM's handler for {names}",
        severity="medium",
        confidence="likely",
        claim="observation",
        explanation=(
            f"The JVM's own handler for {names} is not in place; {who} is. The JVM needs these signals for null checks,"
            " safepoint polls and stack checks; a handler that does not pass them on turns them into crashes."
        ),
        evidence=proof(
            report,
            (f"jvm.signal_handlers[{index}].signal", "the signal"),
            (f"jvm.signal_handlers[{index}].handler", "its handler"),
            (f"jvm.signal_handlers[{index}].library", "of this library"),
            (f"jvm.signal_handlers[{index}].expected", "is it the one that the JVM installed"),
        ),
        remedies=advice.chained_handlers(report)
        or ("Have the library keep the handler that it found, and call it for faults that are not its own.",),
        specificity=REMARK,
    )


RULE = Rule(id="jvm-signal-chain", group="jvm", specificity=89, check=check, documentation=__doc__ or "")
