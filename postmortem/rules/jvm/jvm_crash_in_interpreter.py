"""Crash in the bytecode interpreter.

What it finds: a fault in the interpreter's code while it executed a bytecode of a named method.
Why it matters: the interpreter is simple and well tested; a fault in it means that an object or a method's data was
damaged before.
Evidence it needs: an interpreted Java frame as the first one, and a signal raised by the CPU.
False alarms: a stack overflow or a replaced signal handler faults here, too; their own rules come first.
Rivals excluded: a stack overflow, which also faults there; a signal that another library's handler took; a jump to
nowhere from a native method.
What to do: find who damaged the object: Unsafe, JNI, an agent that rewrites classes, hardware.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _references as references
from postmortem.rules.jvm import _stack as jvm_stack
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import jvm_arithmetic_fault, jvm_illegal_instruction
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTECODE = Lazy(r"codelet (\w+(?: \w+)*)")
_MEANS = {
    "getfield": "reads a field: the object reference on the operand stack was bad",
    "fast_": "reads or writes a field: the object reference was bad",
    "putfield": "writes a field: the object reference on the operand stack was bad",
    "invoke": "calls a method: the receiver, or the class in its header, was bad",
    "aaload": "reads an array element: the array reference was bad",
    "aastore": "stores into an array: the array or the stored reference was bad",
    "aload": "loads from an array or a local: the reference was bad",
    "arraylength": "reads an array's length: the array reference was bad",
    "checkcast": "checks a class: the object, or the class in its header, was bad",
    "instanceof": "checks a class: the object, or the class in its header, was bad",
    "monitor": "locks an object: the reference or its header was bad",
    "athrow": "throws: the exception's reference was bad",
}


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    if (
        not jvm_views.own_fault(report)
        or jvm_stack.in_stack_guard(report)
        or jvm_views.foreign_handler(report) is not None
        or jvm_views.unhandled_null_check(report)
        or jvm_views.fault_name(report) in jvm_illegal_instruction.ILLEGAL
        or jvm_arithmetic_fault.arithmetic(report)
    ):
        return
    frame = jvm_frames.top(report)
    where = jvm_frames.site(report)
    refused = jvm_frames.refused_class(report)
    if refused is not None and where.java is not None and where.java[1].kind == "java-interpreted":
        yield _refused(report, where.java, *refused)
        return
    if frame is None or frame.kind != "java-interpreted" or where.java is None or views.pc_is_fault(report):
        return
    index = where.java[0]
    code = _BYTECODE.search(frame.note or "")
    bytecode = code[1].strip() if code else None
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    doing = f" executing {bytecode}" if bytecode else ""
    if bytecode is not None and " " in bytecode:
        # No bytecode's code: a method's entry, a return, an exception's throw.
        doing = f" at its {bytecode}"
    caller = jvm_frames.java_caller(report, index)
    bad, called, off = references.no_object(report), references.suspected(report), references.unverified(report)
    damaged = references.damaged(report)
    pattern = jvm_views.overwritten_reference(report)
    with_what = f", a reference overwritten with {pattern}" if pattern else ""
    wrote = f" The reference was made of {pattern}: that was written over it." if pattern else ""
    yield Finding(
        rule=RULE.id,
        title=(
            f"{jvm_views.fault_name(report)} in the interpreter{doing}: {jvm_frames.java_place(frame)}{with_what}"
            f"{references.ending(damaged)}"
        ),
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The interpreter met {jvm_views.fault_name(report)}{at} in {jvm_frames.java_place(frame)}"
            f"{_called(caller)}.{_meaning(bytecode)}{wrote}"
            f"{references.why(report) if damaged is None else damaged.sentence}"
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "raised by the CPU"),
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.fault_address_text", "what lies there"),
            (views.frame_path(report, index), "the method"),
            (views.frame_path(report, index, "bci"), "the bytecode index"),
            (views.frame_path(report, index, "note"), "the interpreter's code"),
            ("crash.instruction", "the faulting instruction"),
            (bad.path if bad is not None else "", f"what {bad.name if bad is not None else ''} holds, no object"),
            (damaged.path if damaged is not None else "", "the overwritten header, and what lies before it"),
            (views.frame_path(report, called.entry) if called is not None else "", "JNI entered the method"),
            (views.frame_path(report, called.library[0]) if called is not None else "", "whose call it was"),
            (off[0] if off is not None else "", "classes are not verified"),
        ),
        remedies=(
            *((damaged.remedy,) if damaged is not None else references.remedies(report)),
            *_remedies(frame),
        ),
    )


def _remedies(frame: Frame) -> tuple[str, ...]:
    return (
        "Find the first damage: -XX:+UnlockDiagnosticVMOptions -XX:+VerifyBeforeGC -XX:+VerifyAfterGC names the"
        " collection at which the heap was first found damaged.",
        "Run with -Xcheck:jni, and once without agents and native libraries; look for code that uses Unsafe to"
        " write into objects.",
        f"javap -c -p of the class shows the bytecode{_at_bci(frame)} and so which reference it was.",
        "If it happens on one machine only, test its memory.",
    )


def _refused(report: Report, java: tuple[int, Frame], entry: int, bytecode: str) -> Finding:
    """The VM had to say which class it was that did not fit, and met a class that is none."""
    place = jvm_frames.java_place(java[1])
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    name = jvm_views.fault_name(report)
    damaged = references.damaged(report)
    return Finding(
        rule=RULE.id,
        title=(
            f"{name} in the interpreter executing {bytecode}, as it named the object's class: {place}"
            f"{references.ending(damaged)}"
        ),
        severity="critical",
        confidence="likely",
        claim="observation",
        rivals=("A class whose metadata was freed or damaged, with a whole object.", "A defect of the JVM."),
        explanation=(
            f"{bytecode} in {place}{_called(jvm_frames.java_caller(report, java[0]))} found an object whose class does"
            f" not fit, and the JVM met {name}{at} as it read the name of that class for the exception: the object, or"
            f" the class in its header, was bad."
            f"{references.why(report) if damaged is None else damaged.sentence}"
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "raised by the CPU"),
            (views.fault_address_path(report), "the address that was touched"),
            (damaged.path if damaged is not None else "", "the overwritten header, and what lies before it"),
            (views.frame_path(report, 0), "what it was at"),
            (views.frame_path(report, entry), "what the interpreter had called"),
            (views.frame_path(report, java[0]), "the method"),
            (views.frame_path(report, java[0], "bci"), "the bytecode index"),
            ("crash.instruction", "the faulting instruction"),
        ),
        remedies=(
            *((damaged.remedy,) if damaged is not None else references.remedies(report)),
            *_remedies(java[1]),
        ),
    )


def _called(caller: tuple[int, Frame] | None) -> str:
    return f", called by {culprit.label(caller[1])}" if caller else ""


def _at_bci(frame: Frame) -> str:
    return f" at index {frame.bci}" if frame.bci is not None else ""


def _meaning(bytecode: str | None) -> str:
    if bytecode is None or " " in bytecode:
        return ""
    means = next((text for start, text in _MEANS.items() if start in bytecode), None)
    return f" {bytecode} {means}." if means else f" The bytecode is {bytecode}."


RULE = Rule(id="jvm-crash-in-interpreter", group="jvm", specificity=82, check=check, documentation=__doc__ or "")
