"""Windows exception that is no fault of memory.

What it finds: a C++ or .NET exception that nobody caught, a heap that Windows found corrupted, a fast fail, a stack
that is used up in native code: exceptions by their code, in a JVM's log from Windows.
Why it matters: the JVM reports them like its own errors or like faults; the code says what they are, and the first
library that is not the system's says whose.
Evidence it needs: the exception's code; the stack for the library.
False alarms: none known; the codes are the compiler's, the runtime's and the system's own.
Rivals excluded: a fault of memory, which has another code; a failed check of the JVM, whose numbers are its own.
What to do: read what the library throws, or check its use of the heap (Application Verifier, gflags).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _entry as jvm_entry
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Claim


class Kind(NamedTuple):
    """What an exception's code says."""

    title: str
    text: str
    remedy: str
    claim: Claim = "cause"


KINDS = {
    0xE06D7363: Kind(
        "Uncaught C++ exception (0xe06d7363)",
        "0xe06d7363 is the code with which Microsoft's C++ runtime throws: an exception of native code was caught by"
        " nobody below the Java code. Its type and text are not in the log.",
        "Catch C++ exceptions at the border to JNI; a debugger with 'sxe eh' stops where it is thrown and shows its"
        " text.",
    ),
    0xE0434352: Kind(
        "Uncaught .NET exception (0xe0434352)",
        "0xe0434352 is the code of an exception of the .NET runtime that nobody caught; its text is in the event log.",
        "Look in Windows' event log (Application, .NET Runtime) for the exception and its stack.",
    ),
    0xC0000374: Kind(
        "Windows found the native heap corrupted (0xc0000374)",
        "STATUS_HEAP_CORRUPTION: the heap's own check failed as native code took or returned memory. The damage was"
        " done"
        " earlier: a write beyond a block, a block freed twice or with another runtime's free.",
        "Run with full page heap (gflags /p /enable java.exe /full): it stops at the write that does the damage.",
    ),
    0xC0000409: Kind(
        "Fast fail of native code (0xc0000409)",
        "STATUS_STACK_BUFFER_OVERRUN is what __fastfail() raises: a stack cookie that was overwritten, an invalid"
        " argument to the C runtime, abort() of a newer runtime, or a check of control flow.",
        "Open the minidump: the exception's first parameter says which check failed (2: stack cookie, 7: fatal exit).",
        "observation",
    ),
    0xC00000FD: Kind(
        "Stack overflow (0xc00000fd)",
        "EXCEPTION_STACK_OVERFLOW in native code: there the JVM can't turn it into a StackOverflowError.",
        "Bound the recursion or the large local variables of the native code; -Xss enlarges the stack of Java threads.",
    ),
    0x80000003: Kind(
        "Breakpoint in native code (0x80000003)",
        "A breakpoint instruction without a debugger: an assertion of a debug build, or a trap that the program"
        " placed.",
        "Look for an assertion in the function named, and use the release build of the library.",
        "observation",
    ),
}


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    code = exception(report)
    kind = KINDS.get(code) if code is not None else None
    if code is None or kind is None or not jvm_views.is_jvm(report):
        return
    found = _library(report)
    by = f" in {file_name(found[1].module or '')}: {culprit.label(found[1])}" if found is not None else _below(report)
    way = jvm_entry.entry(report, found[0]) if found is not None else None
    where = "jvm.error.id" if report.crash.signal is None else "crash.signal.name"
    yield Finding(
        rule=RULE.id,
        title=f"{kind.title}{by}",
        severity="critical",
        confidence="certain",
        claim=kind.claim,
        explanation=kind.text + (f" {way.words}" if way is not None and way.words else ""),
        evidence=proof(
            report,
            (where, "the exception"),
            (views.frame_path(report, found[0], "module") if found is not None else "", "the first library that is not"
             " the system's"),
            (views.frame_path(report, found[0]) if found is not None else "", "its function"),
            (views.frame_path(report, way.caller[0]) if way is not None and way.caller else "", "the Java caller"),
            (views.frame_path(report, 0) if found is None else "", "the innermost frame"),
        ),
        remedies=(kind.remedy,),
    )  # fmt: skip


def _below(report: Report) -> str:
    """Where no library but the system's is on the stack: the innermost frame, and the native method above it."""
    inner, method = jvm_frames.top(report), jvm_frames.native_method(report)
    text = f" in {culprit.label(inner)}" if inner is not None and inner.module is not None else ""
    return text + (f", below the native method {jvm_entry.name(method[1])}" if method is not None else "")


def exception(report: Report) -> int | None:
    """The code of a Windows exception; a log has it as the signal's number or as that of an internal error."""
    signal = report.crash.signal
    if signal is not None:
        return signal.number if signal.name.startswith("EXCEPTION") or signal.number > 1 << 16 else None
    error = jvm_views.error(report)
    return error.id if error is not None else None


def _library(report: Report) -> tuple[int, Frame] | None:
    found = jvm_frames.library_frame(report)
    return (found[0], found[1]) if found is not None else None


RULE = Rule(id="jvm-windows-exception", group="jvm", specificity=87, check=check, documentation=__doc__ or "")
