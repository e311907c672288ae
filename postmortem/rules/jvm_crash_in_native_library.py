"""Crash in a native library that Java code called.

What it finds: a fault or an abort in a library that is neither the JVM nor libc, in a process with a JVM; also
one inside libc or inside a JNI function of the JVM that the library called.
Why it matters: the JVM prints the report, but the fault is the library's; its owner is to be asked.
Evidence it needs: a frame of the library above the innermost Java frame, or on a thread without Java frames.
False alarms: a library that was handed damaged data by another one is only the place of the crash.
What to do: read the named function, update or replace the library, run its tests under a sanitizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Confidence, Finding, Frame, Report
from postmortem.rules import aborts, culprit, jvm_frames, jvm_threads, jvm_views, views
from postmortem.rules.names import plain
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not jvm_views.is_jvm(report) or not (jvm_views.own_fault(report) or jvm_views.ended_by_itself(report)):
        return
    found = jvm_frames.library_frame(report)
    if found is None or jvm_views.internal_error(report) is not None or jvm_views.foreign_handler(report) is not None:
        return
    index, frame, in_vm = found
    assert frame.module is not None
    where = jvm_frames.site(report)
    entry = _jni_function(report) if in_vm else None
    from_jdk = jvm_frames.is_jdk_library(report, frame.module)
    if in_vm and (from_jdk or (where.java is None and entry is None)):
        # The JDK's libraries and launchers call into the VM all the time; then the fault is the VM's.
        return
    if jvm_views.ended_by_itself(report) and not (aborts.aborted(report) or _raises(report, index)):
        return
    library = jvm_frames.file_name(frame.module)
    agent = _agent(report, library)
    what, how = _what(report, index, in_vm, entry)
    confidence: Confidence = "likely" if in_vm and entry is None else "certain"
    native = where.java[1] if where.java is not None else None
    caller = jvm_frames.java_caller(report, where.java[0]) if where.java is not None else None
    called = ""
    if native is not None:
        called = f" Java entered it through the native method {_short(native)}"
        called += f", called by {culprit.label(caller[1])}." if caller is not None else "."
    elif jvm_threads.role(report) in (None, "other"):
        called = " The thread has no Java frames: native code of the library's own, on a thread of its own."
    yield Finding(
        rule=RULE.id,
        title=f"{what} {_kind(from_jdk, agent)} {library}: {culprit.label(frame)}",
        severity="critical",
        confidence=confidence,
        explanation=(
            f"{how}{called} {_verdict(library, from_jdk, agent)} Neither the JVM's settings nor its collector have"
            " a part in it."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the signal"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, index, "module"), "the library"),
            (views.frame_path(report, index), "its function"),
            (views.frame_path(report, index, "module_offset"), "offset in the library, for addr2line"),
            (views.frame_path(report, entry[0]) if entry else "", "the function of the JVM that it called"),
            ("crash.instruction", "the faulting instruction"),
            (views.frame_path(report, where.java[0]) if where.java else "", "the native method"),
            (views.frame_path(report, caller[0]) if caller else "", "its Java caller"),
        ),
        remedies=_remedies(library, frame, from_jdk, agent, native),
    )


def _jni_function(report: Report) -> tuple[int, str] | None:
    """Index and name of the JNI or JVMTI function that the library had called."""
    for index, frame in reversed(jvm_frames.vm_frames(report)):
        name = plain(frame.function or "")
        if name.startswith(("jni_", "checked_jni_", "jvmti_", "JVM_")):
            return index, name
    # FatalError ends the process at once.
    for index, frame in jvm_frames.site(report).native:
        name = plain(frame.function or "")
        if jvm_frames.is_vm(frame) and name.startswith(("jni_", "checked_jni_")):
            return index, name
    return None


def _raises(report: Report, library: int) -> bool:
    """What lies above the library's frame is what raises a signal."""
    above = views.crashing_frames(report)[:library]
    return any(frame.function is not None and culprit.skipped_function(frame.function) for frame in above)


def _what(report: Report, index: int, in_vm: int, entry: tuple[int, str] | None) -> tuple[str, str]:
    """The title's first words, and a sentence on how it ended there."""
    frames = views.crashing_frames(report)
    frame = frames[index]
    assert frame.module is not None
    library = jvm_frames.file_name(frame.module)
    label = culprit.label(frame)
    name = jvm_views.fault_name(report)
    if jvm_views.ended_by_itself(report):
        if entry is not None and entry[1].endswith("FatalError"):
            return "JNI FatalError called by", f"{label} of {library} called JNI's FatalError, which ends the process."
        through = f" through {entry[1]}" if entry else ""
        if in_vm and entry is None:
            through = " through the JVM (as JNI's FatalError does)"
        said = aborts.message(report)
        text = f" libc said {said!r}." if said else ""
        verb = "abort()" if name == "SIGABRT" else name
        return f"{verb} called by", f"{label} of {library} ended the process with {verb}{through}.{text}"
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    if in_vm:
        function = f"{entry[1]}()" if entry else "a function of the JVM"
        return (
            f"{name} in {function}, called by",
            (
                f"{label} of {library} called {function}, which met {name}{at}: an argument that it got from the"
                " library was bad, or the library had damaged the JVM's memory before."
            ),
        )
    if views.pc_is_fault(report):
        pc = report.crash.pc
        target = f"{pc:#x}" if pc is not None else "nowhere"
        return "Jump to nowhere in", f"{label} of {library} called {target}, where there is no code: {name}."
    inner = frames[0]
    if index and inner.function is not None and inner.kind == "native":
        libc = jvm_frames.file_name(inner.module or "") or "libc"
        return (
            f"{name} in",
            f"{name}{at} was raised in {plain(inner.function)}() of {libc}, which {label} of {library} had called.",
        )
    access = views.an_access(report).capitalize()
    how = f"{access}{at} in {label} of {library} raised {name}." if at else f"{label} of {library} raised {name}."
    return f"{name} in", how


def _short(frame: Frame) -> str:
    return f"{frame.function}()" if frame.function is not None else culprit.label(frame)


def _kind(from_jdk: bool, agent: str | None) -> str:
    if agent is not None:
        return "agent"
    return "the JDK's library" if from_jdk else "native library"


def _agent(report: Report, library: str) -> str | None:
    """The argument that loaded the library as an agent."""
    stem = library.removeprefix("lib").split(".", 1)[0]
    for argument in report.jvm.arguments if report.jvm is not None else ():
        for option in ("-agentpath:", "-agentlib:"):
            if argument.startswith(option):
                value = jvm_frames.file_name(argument.removeprefix(option).split("=", 1)[0])
                if value in (library, stem):
                    return option + value
    return None


def _verdict(library: str, from_jdk: bool, agent: str | None) -> str:
    if agent is not None:
        return f"{library} is an agent that {agent} loads: it is not part of the application."
    if from_jdk:
        return (
            f"{library} belongs to the JDK itself; it fails when it is given damaged data (a file cut short, a"
            " buffer freed too early), or it has a defect that an update may mend."
        )
    return f"{library} does not belong to the JDK."


def _remedies(library: str, frame: Frame, from_jdk: bool, agent: str | None, native: Frame | None) -> tuple[str, ...]:
    if from_jdk:
        return (
            "Update to the newest release of this JDK version and search its bug database for the function.",
            f"Look at what the Java caller hands to {library}: a closed or mapped file, a buffer that is shared.",
            "Run with -Xcheck:jni to see whether another native library misuses JNI.",
        )
    place = culprit.label(frame)
    offset = f" (addr2line -Cfie {library} {frame.module_offset:#x})" if frame.module_offset is not None else ""
    first = f"Read {place}{offset}"
    first += f" and what {_short(native)} passes to it." if native is not None else "."
    return (
        first,
        f"Remove {agent}, or update the agent." if agent is not None else f"Update {library}, or ask who maintains it.",
        "Run with -Xcheck:jni: it reports wrong use of JNI at the call that makes it.",
        f"Build {library} with -fsanitize=address and start java with LD_PRELOAD of libasan.so to find the first bad"
        " access.",
    )


RULE = Rule(id="jvm-crash-in-native-library", group="jvm", specificity=79, check=check, documentation=__doc__ or "")
