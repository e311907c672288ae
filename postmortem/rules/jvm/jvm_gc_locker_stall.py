"""Collection that waits for native code to let go of an array.

What it finds: threads that need memory and wait until the last JNI critical section ends.
Why it matters: no collection can run between GetPrimitiveArrayCritical (GetStringCritical) and its release, with all
collectors but those that pin regions (G1 since JDK 22, Shenandoah, Z): one native call stops all that allocate.
Evidence it needs: the VM's functions that wait for it, and a thread that is in a native method of a library that is
not the JDK's.
False alarms: critical sections are short, and the core may show such a moment; so two threads must wait, and where the
one in native code is not itself in a system call, only that is claimed. Which thread is in the section is known where
the VM counts it (java.critical), else it is the one in native code: never certain. Where libjvm has no names, threads
that wait inside it below their own Java code are taken for such, if one is counted in a section.
What to do: release the array before anything that may block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report, Thread
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAITS = Lazy(r"GC_?[Ll]ocker::(?:stall_until_clear|block|jni_lock)")
_LEAST = 2
_NAMELESS = (
    " The functions of this libjvm have no names: that those threads wait for the section is what such a wait usually"
    " is; a collection or another operation of the VM that is under way holds them as well."
)
_TOP = 24


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    if jvm_views.own_fault(report) or jvm_views.internal_error(report) is not None:
        return
    waiting = []
    for index, thread in enumerate(report.threads):
        at = next((n for n, f in enumerate(thread.frames[:_TOP]) if _WAITS.match(plain(f.function or ""))), None)
        if at is not None:
            waiting.append((index, at))
    counted = any(thread.java is not None and thread.java.critical is not None for thread in report.threads)
    inside = [
        (index, thread, place)
        for index, thread in enumerate(report.threads)
        if (place := _in_library(report, thread)) is not None
        and (not counted or (thread.java is not None and thread.java.critical))
    ]
    named = len(waiting) >= _LEAST
    if not named and counted:
        waiting = _nameless(report)
    if not inside or len(waiting) < _LEAST:
        return
    index, thread, (number, method) = inside[0]
    frame = thread.frames[number]
    library = file_name(frame.module or "")
    name = (thread.java.name if thread.java is not None else None) or f"thread {thread.tid}"
    java = jvm_frames.java_place(thread.frames[method])
    label = f"{plain(frame.function)}()" if frame.function else "native code"
    sure = len(inside) == 1 or counted
    asleep = thread.wait is not None
    doing = "blocked in" if asleep else "at work in"
    yield Finding(
        rule=RULE.id,
        title=f"{len(waiting)} threads wait for a JNI critical section to end: {name} is in {label} of {library}"[:200],
        severity="critical",
        confidence="likely" if sure else "possible",
        claim="cause" if asleep and named else "observation",
        explanation=(
            f"{len(waiting)} threads need memory, and the collection that would free some may not begin while native"
            " code is between GetPrimitiveArrayCritical or GetStringCritical and its release. "
            + (
                f"The one thread that is {doing} native code of a library that is not the JDK's is {name}"
                f" (thread {thread.tid}): in {label} of {library}, called through {java}."
                if sure
                else f"{len(inside)} threads are in native code that is not the JDK's, {name} among them."
            )
            + (
                " The VM counts it as being in such a section; for how long, nothing tells."
                if counted
                else " No table of the VM tells who is in such a section, or for how long."
            )
            + ("" if named else _NAMELESS)
        ),
        rivals=("the section was about to end: short ones stop the others for a moment",),
        evidence=proof(
            report,
            *((f"threads[{n}].frames[{at}].function", "waits for the critical section") for n, at in waiting[:3]),
            (f"threads[{index}].frames[{number}].function", f"where {name} is"),
            (f"threads[{index}].frames[{number}].module", "of this library"),
            (f"threads[{index}].frames[{method}].function", "through this native method"),
            (f"threads[{index}].java.critical", "critical sections that it is in"),
            (f"threads[{index}].wait.syscall" if asleep else "", "blocked in this system call"),
            ("jvm.heap.collector", "the collector"),
        ),
        remedies=(
            f"Let {label} release the array before it {'blocks' if asleep else 'computes for long'}: copy it"
            " (GetByteArrayRegion), or use a direct buffer.",
            "Run with -Xcheck:jni: it warns of JNI calls inside critical sections.",
            "G1 of JDK 22 and newer pins the region instead and goes on.",
        ),
    )


def _nameless(report: Report) -> list[tuple[int, int]]:
    """Threads that wait in a libjvm without names, right below Java code of the application that did not ask for it."""
    found = []
    for index, thread in enumerate(report.threads):
        java = thread.java
        if java is None or java.state != "RUNNABLE" or java.thread_state != "_thread_blocked" or thread.wait is None:
            continue
        at = next((n for n, frame in enumerate(thread.frames) if jvm_frames.is_java(frame)), None)
        if at is None or jvm_frames.of_jdk(thread.frames[at]):
            continue
        above = [n for n, frame in enumerate(thread.frames[:at]) if jvm_frames.is_vm(frame)]
        if above and all(thread.frames[n].function is None for n in above):
            found.append((index, at))
    return found


def _in_library(report: Report, thread: Thread) -> tuple[int, int] | None:
    """Indexes of the frame in a library that is neither the JDK's nor the system's, and of the native method below."""
    if thread.java is None or thread.java.thread_state != "_thread_in_native":
        return None
    found = None
    for index, frame in enumerate(thread.frames):
        if jvm_frames.is_java(frame):
            return None if found is None else (found, index)
        if frame.module is None or jvm_frames.is_vm(frame) or jvm_frames.is_system(frame.module):
            continue
        if jvm_frames.is_jdk_library(report, frame.module):
            return None
        found = index if found is None else found
    return None


RULE = Rule(id="jvm-gc-locker-stall", group="jvm", specificity=40, check=check, documentation=__doc__ or "")
