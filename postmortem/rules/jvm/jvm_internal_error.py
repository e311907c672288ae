"""Failed check of the JVM.

What it finds: the JVM ended itself because a guarantee or assertion of its own did not hold, because it came to code
that must not be reached, or because it was told to give up on a thread that does not stop.
Why it matters: the message and the source line are the JVM's own words about what was wrong.
Evidence it needs: VMError's message, file and line; for a safepoint time-out the signal that the JVM sent itself.
False alarms: failed allocations and OutOfMemoryError end the JVM the same way; they have rules of their own.
Rivals excluded: a failed allocation and an OutOfMemoryError, which end the JVM in the same way; a signal; an abort
that the JVM did not report.
What to do: search the bug database of the JDK for the message and the line, and update.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report, VmError
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import _threads as jvm_threads
from postmortem.rules.jvm._arguments import boot_path, boot_remedy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = (
    ("guarantee", "a guarantee: a check that stands in release builds, too"),
    ("assert", "an assertion of a debug build"),
    ("shouldnotreachhere", "code that must never be reached"),
    ("shouldnotcallthis", "a function that must never be called"),
    ("unimplemented", "something that is not implemented"),
    ("fatal error", "a fatal error that the VM declared itself"),
)
NO_WORDS = "a check of its own failed"


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    found = jvm_views.internal_error(report)
    if found is None:
        yield from _timeout(report)
        return
    said = jvm_views.error_words(found) or NO_WORDS
    words = f"It said: {said}." if said != NO_WORDS else "Its words could not be read; its hs_err log has them."
    place = _place(found)
    frame = next(iter(jvm_frames.vm_frames(report)), None)
    inside = f" in {culprit.label(frame[1])}" if frame and frame[1].function else ""
    at = f" at {place}" if place else ""
    yield Finding(
        rule=RULE.id,
        title=(f"The JVM ended itself{at}: {said[:160]}{inside if said == NO_WORDS else ''}{_instead(report)}"),
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The JVM met {_kind(said)}{inside}{f', at {place}' if place else ''}, on"
            f" {jvm_threads.thread_words(report)}. {words}{_called_by(report)}{_named_pc(report, said)}{_why(said)}"
            f"{_replaced(report)}"
        ),
        evidence=proof(
            report,
            ("jvm.error.message", "what the VM said"),
            ("jvm.error.detail", "and in detail"),
            ("jvm.error.file", "the source file"),
            ("jvm.error.line", "and line"),
            ("jvm.version", "of this version"),
            (views.frame_path(report, frame[0]) if frame else "", "where the VM was"),
            ("jvm.vm_operation", "the VM operation"),
            (views.frame_path(report, 0) if not frame else "", "the innermost function"),
            ("crash.signal.name", "the signal"),
        ),
        rivals=(
            "A defect of the JVM.",
            "Memory of the JVM that native code, Unsafe or hardware damaged before.",
            *(("Classes of the JDK that were replaced by others.",) if boot_path(report) else ()),
        ),
        remedies=(
            *boot_remedy(report),
            f"Search the JDK's bug database for the message and {place or 'the function'}: known ones name the release"
            " that mends them.",
            "Update to the newest release of this JDK version, then report it with the hs_err log and this report.",
            "Look for damage done by others: -Xcheck:jni, -XX:+UnlockDiagnosticVMOptions -XX:+VerifyBeforeGC, and a run"
            " without agents and native libraries.",
        ),
        references=("https://bugs.openjdk.org/projects/JDK/issues",),
    )


_NOT_LOADED = Lazy(r"[Uu]nable to load .{0,80}(?:shared )?library|cannot open shared object|cannot restore segment")
_NO_RELOCATION = Lazy(r"cannot restore segment prot after reloc|cannot enable executable stack")


_ATTACH = Lazy(r"Error attaching (?:current )?thread .{0,80}JVMCI shared library")
_HANDLER = Lazy(r"Unexpected result from topLevelExceptionFilter")


def _why(said: str) -> str:
    if _ATTACH.search(said):
        return (
            " The compiler's library (libgraal, JVMCI) has a heap of its own for each isolate; it could not attach a"
            " thread to one: its memory ran out, as where many compilations are needed again and again (a full code"
            " cache), or it had failed before. Which, is not told."
        )
    if _HANDLER.search(said):
        return (
            " An exception that is not the JVM's, mostly a C++ exception of native code that nobody caught, went up the"
            " stack into code that the JVM generated, and its handler does not take those. So the fault is in the"
            " native code that Java had called."
        )
    if not _NOT_LOADED.search(said):
        return (
            " Such a check fails because of a defect of the JVM, or because its memory was damaged before by native"
            " code, Unsafe or hardware."
        )
    words = " The system's loader refused a library that the JVM needs, and the JVM went no further."
    if _NO_RELOCATION.search(said):
        words += " SELinux refuses code that was written to (execmod, execstack); the audit log has the denial."
    return words


def _called_by(report: Report) -> str:
    """The library that had called the JVM, where nothing but the stack tells of the check."""
    found = jvm_frames.library_frame(report)
    if jvm_views.error(report) is not None or found is None or found[1].trust == "scan":
        return ""
    return f" {culprit.label(found[1])} of {file_name(found[1].module or '')} had called the JVM there."


def _named_pc(report: Report, said: str) -> str:
    """Where the pc lies that the VM's words name, as of an exception outside of any code that it knows."""
    found = re.search(r"\bpc (0x[0-9a-fA-F]{4,16})", said)
    if found is None:
        return " No instruction faulted."
    pc = int(found[1], 16)
    module = next((m for m in report.modules if m.start <= pc < m.end), None)
    mapping = views.mapping_at(report, pc)
    if module is not None:
        place = f"{file_name(module.path)}+{pc - module.bias:#x}"
    elif mapping is not None:
        place = views.mapping_text(mapping[1])
    else:
        place = "no mapping that the report knows"
    return f" The fault itself was at pc {pc:#x}, in {place}: the check failed as the VM handled it."


def _instead(report: Report) -> str:
    found = boot_path(report)
    return f"; {found.partition(':')[0]} replaces the JDK's classes" if found else ""


def _replaced(report: Report) -> str:
    found = boot_path(report)
    if found is None:
        return ""
    option = found.partition(":")[0]
    return f" {option} puts other classes in the place of the JDK's own, of which the VM knows the fields by heart."


def _timeout(report: Report) -> Iterator[Finding]:
    """AbortVMOnSafepointTimeout: the VM sends SIGILL to the thread that it waits for."""
    asked = jvm_views.flag(report, "AbortVMOnSafepointTimeout")
    if asked is None or asked[1] != "true":
        return
    if not aborts.own_signal(report) or not views.signal_is(report, views.SIGILL):
        return
    yield Finding(
        rule=RULE.id,
        title=f"The JVM ended itself: {jvm_threads.thread_words(report)} did not reach a safepoint in time",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            "-XX:+AbortVMOnSafepointTimeout is set: when a thread does not stop for a safepoint within"
            " SafepointTimeoutDelay, the JVM sends it SIGILL to end the process at the place where it runs. The SIGILL"
            " is no illegal instruction."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "sent by the process to itself"),
            (asked[0], "AbortVMOnSafepointTimeout"),
            ((jvm_views.flag(report, "SafepointTimeoutDelay") or ("", ""))[0], "SafepointTimeoutDelay, milliseconds"),
            (views.blamed_path(report), "what the thread ran"),
        ),
        remedies=(
            "Look at the loop that the crashing thread runs: a counted loop without a poll, a large array copy, or a"
            " page that is slow to come. -XX:+UseCountedLoopSafepoints puts polls into counted loops.",
            "Raise -XX:SafepointTimeoutDelay if such pauses are acceptable.",
        ),
    )


def _place(error: VmError) -> str:
    if error.file is None:
        return ""
    name = file_name(error.file)
    return f"{name}:{error.line}" if error.line is not None else name


def _kind(said: str) -> str:
    text = said.lower().replace(" ", "")
    return next((words for start, words in _KINDS if start.replace(" ", "") in text), "a condition that ends it")


RULE = Rule(id="jvm-internal-error", group="jvm", specificity=83, check=check, documentation=__doc__ or "")
