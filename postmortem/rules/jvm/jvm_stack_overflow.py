"""Stack overflow that the JVM could not turn into a StackOverflowError.

What it finds: a fault in the guard zones of a thread that runs Java, or just below its stack.
Why it matters: in Java code the JVM throws StackOverflowError; in native code or in the VM it can't, and the process
dies, often without a log.
Evidence it needs: the fault address, the stack pointer, and the thread's stack or a mapping without access there.
False alarms: a wild pointer into a guard zone is told apart by the stack pointer, which must be near.
A frame that reaches from a Java thread's stack over its end is an overflow, too; likely only, for a library may have
switched to a stack of its own.
Rivals excluded: a wild pointer into a guard zone: the stack pointer is near; a fault far from any stack's end.
What to do: bound the recursion; a larger -Xss only helps if the depth is legitimate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Cycle, Finding, Frame, Report, Thread
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.fault import stack_overflow
from postmortem.rules.jvm import (
    _frames as jvm_frames,
)
from postmortem.rules.jvm import (
    _stack as jvm_stack,
)
from postmortem.rules.jvm import (
    _state as jvm_views,
)
from postmortem.rules.jvm import (
    _threads as jvm_threads,
)
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model.thread import StackRange

_LARGEST_FRAME = 1 << 30
_GUARDS = 64 << 10
"""Bytes by which a mapping may differ from the size that was asked for."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    found = views.crashing_thread(report)
    if found is None or not jvm_views.is_jvm(report) or not jvm_views.own_fault(report):
        return
    position, thread = found
    if (big := _beyond(thread)) is not None:
        yield _one_frame(report, position, *big)
        return
    if _elsewhere(report):
        return
    who = jvm_threads.role(report)
    is_first = thread.tid == report.process.pid
    cycle = max(thread.cycles, key=lambda item: item.period * item.count, default=None)
    caller = jvm_frames.java_caller(report)
    library = jvm_frames.library_frame(report)
    names = _names(thread, cycle) if cycle else ""
    place = file_name(library[1].module or "") if library else "Java and the JVM"
    size = jvm_stack.stack_size(report)
    room = f" of {views.size_text(size)}" if size else ""
    address = jvm_stack.touched(report)
    unsent = views.fault_address(report) is None
    pushed = views.refused_by_stack(report)
    at = f" at {address:#x}" if address is not None else ""
    where = views.inside(report)
    left = jvm_stack.left_stack(report)
    yield Finding(
        rule=RULE.id,
        title=(
            f"Stack overflow by recursion in {place}: {names}, {cycle.count} times"
            if cycle
            else f"Stack overflow on {jvm_threads.thread_words(report)}{where}"
        ),
        severity="critical",
        confidence="likely" if left else "certain" if cycle or jvm_stack.in_stack_guard(report) else "likely",
        claim="cause",
        explanation=(
            (
                f"The {views.access_word(report)}{at} is the probe of the stack that a compiled method makes at its"
                f" entry, and the stack pointer lies {views.size_text(left)} below the stack of"
                f" {jvm_threads.thread_words(report)}: it ran out of its stack, past the guards.{_counted(report)}"
                if left
                else f"The {views.access_word(report)}{at} is at the end of the stack{room} of"
                f" {jvm_threads.thread_words(report)}: it is used up."
            )
            + _cycle_words(cycle, names)
            + f"{_entered(report, library is not None)}{_no_error(library is not None, bool(left))}"
            f"{_unsent(unsent)}"
        ),
        rivals=("A stack pointer that something spoiled: native code, or a switch of stacks.",) if left else (),
        evidence=proof(
            report,
            (views.fault_address_path(report) or (pushed[1] if pushed else ""), "the address that was touched"),
            ("jvm.exception_counts" if left and _counted(report) else "", "errors that the VM counted"),
            (f"threads[{position}].frames[0].sp" if left else "", "the stack pointer"),
            (f"threads[{position}].registers.rsp", "the stack pointer"),
            (f"threads[{position}].registers.sp", "the stack pointer"),
            (f"threads[{position}].stack.start", "lowest address of the stack"),
            (f"threads[{position}].stack.guard", "the guard below it"),
            (f"threads[{position}].cycles[0].period", "frames in the cycle"),
            (f"threads[{position}].cycles[0].count", "repetitions"),
            (views.blamed_path(report), "the innermost function"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java code below"),
            ((jvm_views.flag(report, "ThreadStackSize") or ("", ""))[0], "-Xss, KiB"),
        ),
        remedies=(
            (
                f"Find why {names} does not end: a missing base case, a cycle in the data, or input nested too deeply."
                if cycle
                else f"Look at the large local variables and at deep recursion{where}."
            ),
            _larger(who, size, None if is_first else jvm_views.number_flag(report, "ThreadStackSize")),
            "If native code needs more stack than its Java callers leave it, run it on a thread of its own with a"
            " larger stack (new Thread(group, task, name, stackSize)), or raise -XX:StackShadowPages.",
        ),
    )


def _beyond(thread: Thread) -> tuple[int, int, StackRange] | None:
    """Index and size of the frame that reaches over the end of the stack that the VM gave the thread.

    Its caller lies in that stack; the first frame's stack pointer, below the stack, is in the guard or in whatever
    happens to be mapped there.
    """
    stack = thread.java.stack if thread.java is not None else None
    if stack is None:
        return None
    inner: tuple[int, Frame] | None = None
    for index, frame in enumerate(thread.frames):
        if frame.kind == "signal":
            return None
        if frame.sp is None or frame.inlined or frame.trust == "scan":
            continue
        if stack.start <= frame.sp < stack.end:
            if inner is None or inner[1].sp is None or frame.sp - inner[1].sp > _LARGEST_FRAME:
                return None
            return inner[0], frame.sp - inner[1].sp, stack
        if frame.sp >= stack.end:
            return None
        inner = (index, frame)
    return None


def _one_frame(report: Report, position: int, index: int, size: int, stack: StackRange) -> Finding:
    """A function whose locals are larger than what is left of the stack."""
    frame = report.threads[position].frames[index]
    label, room = culprit.label(frame), views.size_text(stack.end - stack.start)
    beyond = stack.start - (frame.sp or stack.start)
    caller = jvm_frames.java_caller(report)
    by = f" Java code below it is {jvm_frames.java_place(caller[1])}." if caller else ""
    return Finding(
        rule=RULE.id,
        title=f"Stack overflow: {label} takes {views.size_text(size)} on a stack of {room}",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=("the library had switched to a stack of its own (a coroutine)",),
        explanation=(
            f"The frame of {label} is {views.size_text(size)}, and its end lies {views.size_text(beyond)} below the"
            f" stack of {jvm_threads.thread_words(report)}, which has {room}. What it wrote there is no memory of its"
            f" own.{by} Arrays as local variables, alloca() or a variable-length array do this; the guard zones were"
            " leapt over, so neither a StackOverflowError nor a log needs to follow."
        ),
        evidence=proof(
            report,
            (f"threads[{position}].frames[{index}].sp", "where the frame begins"),
            (f"threads[{position}].java.stack.start", "lowest address of the thread's stack"),
            (f"threads[{position}].java.stack.end", "and its end"),
            (f"threads[{position}].frames[{index}].function", "the function"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java code below"),
        ),
        remedies=(
            f"Put the large variables of {label} on the heap (malloc), and bound what alloca() is given.",
            "Where the size is right, run it on a thread with a larger stack: new Thread(group, task, name, stackSize),"
            " -Xss.",
            "Compile the library with -fstack-clash-protection: it touches every page, so that the guard is met.",
        ),
    )


def _no_error(native: bool, left: bool) -> str:
    """Why the JVM did not throw StackOverflowError instead."""
    if left:
        return ""
    where = "native code" if native else "code of the JVM or close to its last zone"
    return (
        f" In Java code the JVM turns this into a StackOverflowError; here the thread was in {where}, where it can't."
    )


def _counted(report: Report) -> str:
    counts = report.jvm.exception_counts if report.jvm is not None else {}
    number = counts.get("StackOverflowErrors")
    return f" The VM had thrown StackOverflowError {number} times before." if number else ""


def _elsewhere(report: Report) -> bool:
    """True when the fault is not at the end of a stack."""
    found = views.crashing_thread(report)
    if found is not None and stack_overflow.over_guard(report, found[1]) is not None:
        return True
    return not jvm_stack.in_stack_guard(report) and next(stack_overflow.check(report), None) is None


def _unsent(unsent: bool) -> str:
    if not unsent:
        return ""
    return (
        " The kernel could not even call the JVM's signal handler, whose frame belongs on the same stack: that is why"
        " there is no hs_err log."
    )


def _larger(who: str | None, size: int | None, usual: int | None) -> str:
    """usual: -Xss in KiB, None for the first thread of the process, whose stack the system made."""
    if who == "compiler":
        return "Enlarge the compiler's stack with -XX:CompilerThreadStackSize (KiB), or leave the method out."
    if who in ("vm", "gc"):
        return "Enlarge the VM's own stacks with -XX:VMThreadStackSize (KiB)."
    if size and usual and abs(size - (usual << 10)) > _GUARDS:
        return (
            f"If the depth is legitimate, enlarge the stack where the thread is made: its {views.size_text(size)} are"
            f" not the {views.size_text(usual << 10)} of -Xss but a size of its own (the stackSize of its constructor)."
        )
    return "If the depth is legitimate, enlarge the stack: -Xss (for the main thread of a native launcher ulimit -s)."


def _cycle_words(cycle: Cycle | None, names: str) -> str:
    if cycle is None:
        return ""
    deep = cycle.period * cycle.count
    return f" The frames repeat with period {cycle.period}, {cycle.count} times ({deep} frames): {names}."


def _entered(report: Report, native: bool) -> str:
    where = jvm_frames.site(report).java
    if where is None or where[1].function is None:
        return ""
    if not native:
        return f" The innermost Java method is {where[1].function}()."
    above = jvm_frames.java_caller(report, where[0])
    by = f", called by {culprit.label(above[1])}" if above else ""
    return f" Java entered the native code through {where[1].function}(){by}."


def _names(thread: Thread, cycle: Cycle) -> str:
    frames = thread.frames[cycle.start : cycle.start + cycle.period]
    names = [
        (f.function if jvm_frames.is_java(f) else plain(f.function)) + "()" if f.function else culprit.label(f)
        for f in frames[:4]
    ]
    return " → ".join(names or ["unnamed frames"]) + (" → …" if len(frames) > 4 else "")


RULE = Rule(id="jvm-stack-overflow", group="jvm", specificity=87, check=check, documentation=__doc__ or "")
