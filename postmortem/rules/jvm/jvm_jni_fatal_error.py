"""Native code ended the JVM through JNI.

What it finds: JNI's FatalError, called by a library, or by -Xcheck:jni when it found wrong use of JNI.
Why it matters: the end was deliberate; the message is on standard error, not in an hs_err file.
Evidence it needs: SIGABRT, and jni_FatalError or a checked_jni_ function on the aborting stack.
False alarms: none known.
Rivals excluded: an abort of the library's own: the JVM's FatalError is on the aborting stack.
What to do: find the message in the program's output; it begins with "FATAL ERROR in native method".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKS = "checked_jni_"
CHECKED = 80
"""The check's own word for it: above the library that made the call."""
CHECKER = ("ReportJNIFatalError", "jniCheck::", "NativeReportJNIFatalError")


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not aborts.aborted(report) or not jvm_views.is_jvm(report):
        return
    native = jvm_frames.site(report).native
    found = _end(report)
    if found is None:
        return
    index, name = found
    checked = next((plain(f.function) for i, f in native if i >= index and f.function and CHECKS in f.function), None)
    by_check = name.startswith(CHECKER)
    library = jvm_frames.library_frame(report)
    who = f"{file_name(library[1].module or '')}, {culprit.label(library[1])}" if library else "native code"
    method = jvm_frames.native_method(report)
    caller = jvm_frames.java_caller(report, method[0] if method else -1)
    during = f" during the native method {method[1].function}()" if method and method[1].function else ""
    java = f" Java code got there from {culprit.label(caller[1])}." if caller else ""
    function = (checked or name).removeprefix(CHECKS)
    yield Finding(
        rule=RULE.id,
        title=(
            f"-Xcheck:jni stopped {who}: wrong use of {function}"
            if by_check
            else f"JNI FatalError called by {who}: a deliberate end"
        ),
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            (
                f"-Xcheck:jni found that {who} used JNI wrongly{during}, and ended the process."
                if by_check
                else f"{who} called FatalError{during}: it found a state in which it would not go on."
            )
            + f'{java} The reason was printed to standard error, after "FATAL ERROR in native method"; no hs_err file'
            " is written for it."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "sent by the process to itself"),
            (views.frame_path(report, index), "what ended the process"),
            (views.frame_path(report, library[0]) if library else "", "its caller"),
            (views.frame_path(report, method[0]) if method else "", "the native method"),
        ),
        remedies=(
            'Find "FATAL ERROR in native method" in the program\'s output: the message and the Java stack follow.',
            (
                f"Read the call of {function} in {who}: its object or class, its method or field, and whether an"
                " exception was pending."
                if by_check
                else f"Read the condition before the call in {who}."
            ),
        ),
        specificity=CHECKED if by_check else RULE.specificity,
    )


def stopped_by_check(report: Report) -> bool:
    """-Xcheck:jni ended the process."""
    found = _end(report) if aborts.aborted(report) and jvm_views.is_jvm(report) else None
    return found is not None and found[1].startswith(CHECKER)


def _end(report: Report) -> tuple[int, str] | None:
    """Index and plain name of what ended the process."""
    for index, frame in jvm_frames.site(report).native:
        name = plain(frame.function or "")
        if jvm_frames.is_vm(frame) and (name.endswith("jni_FatalError") or name.startswith(CHECKER)):
            return index, name
    return _end_without_names(report)


def _end_without_names(report: Report) -> tuple[int, str] | None:
    """In a libjvm without symbols JNI's functions alone have names: a checked one ended in abort(), and no error of the
    VM's own was reported."""
    inside = jvm_frames.vm_frames(report)
    if not inside or report.crash.unwrapped or jvm_views.error(report) is not None:
        return None
    index, frame = inside[-1]
    if not plain(frame.function or "").startswith(CHECKS) or any(item.function for _, item in inside[:-1]):
        return None
    return index, CHECKER[0]


RULE = Rule(id="jvm-jni-fatal-error", group="jvm", specificity=78, check=check, documentation=__doc__ or "")
