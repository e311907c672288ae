"""Arithmetic exception in code that the JVM generated.

What it finds: SIGFPE (Windows: a division by zero or a floating-point exception) in a compiled method, the interpreter
or a stub.
Why it matters: the JVM takes the fault of an integer division on purpose and makes an ArithmeticException of it, so
this one came to it in a way that it does not know. No object is damaged by it, no address was touched.
Evidence it needs: the signal, a frame of generated code as the first one; si_code tells integers from floating point.
False alarms: none known.
Rivals excluded: a signal that somebody sent; code of a library, which has rules of its own; a fault of memory.
What to do: run without the emulator; find the library that unmasks floating-point exceptions or takes the signal; leave
the method to the interpreter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.model.queries.systems import system
from postmortem.rules import advice
from postmortem.rules.fault.floating_point_exception import FPE_INTOVF, KINDS
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Claim, Frame

_INTEGER = ("EXCEPTION_INT_DIVIDE_BY_ZERO", "EXCEPTION_INT_OVERFLOW")
_FLOATING = "EXCEPTION_FLT_"
_UNMASKED = (
    "Find the native library that unmasks floating-point exceptions (feenableexcept, fesetenv, _controlfp, -ffpe-trap)"
    " and returns to Java so: Java code needs them masked. -Xcheck:jni, or a run without the library, shows which."
)


class _Reading(NamedTuple):
    """What the exception is: a few words, a sentence, the claim, what stays open, what to do."""

    brief: str
    text: str
    claim: Claim
    rivals: tuple[str, ...]
    remedies: tuple[str, ...]


def arithmetic(report: Report) -> bool:
    """The exception is one of arithmetic, by its name."""
    name = jvm_views.fault_name(report)
    return name == "SIGFPE" or name in _INTEGER or name.startswith(_FLOATING)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not arithmetic(report) or not jvm_views.own_fault(report) or aborts.own_signal(report):
        return
    frame = jvm_frames.top(report)
    if frame is None or not jvm_frames.is_generated(frame) or not jvm_views.is_jvm(report):
        return
    if jvm_views.foreign_handler(report) is not None:
        return
    reading = _reading(report, frame)
    on = system(report)
    under = f" Its instructions are translated by {on.emulator}." if on.emulator else ""
    place = _place(frame)
    yield Finding(
        rule=RULE.id,
        title=f"{jvm_views.fault_name(report)} in {place}: {reading.brief}",
        severity="critical",
        confidence="likely" if reading.claim == "cause" else "certain",
        claim=reading.claim,
        explanation=(
            f"An arithmetic instruction that the JVM generated, in {place}, raised {jvm_views.fault_name(report)}."
            f" {reading.text}{under} No address was touched and nothing says that an object was damaged."
        ),
        rivals=reading.rivals,
        evidence=proof(
            report,
            ("crash.signal.name", "the signal"),
            ("crash.signal.code_name", "its kind"),
            ("crash.pc", "in generated code"),
            ("crash.instruction", "the instruction"),
            (views.frame_path(report, jvm_frames.telling(views.crashing_frames(report)) or 0), "the code"),
            ("host.cpu", "the machine"),
            ("host.platform", "what the JVM was built for"),
        ),
        remedies=reading.remedies,
    )


def _place(frame: Frame) -> str:
    if frame.kind == "java-compiled":
        level = jvm_frames.level_name(frame.compile_level).split(",")[0]
        return f"{level}-compiled code of {culprit.label(frame)}"
    if frame.kind == "java-interpreted":
        return f"the interpreter ({jvm_frames.java_place(frame)})"
    return f"the stub {frame.function}" if frame.function else "a stub of the JVM"


def _reading(report: Report, frame: Frame) -> _Reading:
    on, code, name = system(report), views.code(report), jvm_views.fault_name(report)
    update = "Update to the newest release of this JDK version."
    told = code in KINDS and code != FPE_INTOVF and on.emulator is None
    if name.startswith(_FLOATING) or told:
        kind = KINDS.get(code or 0) if name == "SIGFPE" else name.removeprefix(_FLOATING).lower().replace("_", " ")
        return _Reading(
            f"floating-point exceptions are unmasked ({kind})",
            "The JVM runs Java code with floating-point exceptions masked, so that operations give infinity or NaN:"
            " native code has unmasked them on this thread and left them so.",
            "cause",
            ("A defect of the JVM, which restored the wrong control word.",),
            (_UNMASKED, update),
        )
    usual = "The JVM takes the fault of an integer division for its check for zero and throws ArithmeticException."
    if on.emulator is not None:
        return _Reading(
            f"an integer division, which {on.emulator} reports in another way than the CPU",
            f"{usual} What reached it here is not what this CPU's own fault would be, so it did not know it for one.",
            "cause",
            ("A defect of the JVM at this place: another emulator or the CPU itself would show it, too.",),
            (update,),
        )
    if frame.kind == "java-compiled":
        command = jvm_frames.compile_command(frame.function) if frame.function else "pkg.Class::method"
        return _Reading(
            "an integer division by zero that became no ArithmeticException",
            f"{usual} This instruction is not on its record of such checks, or the signal did not reach it as the"
            " kernel sends it.",
            "observation",
            (
                "A defect of the compiler: it moved a division before the check of its divisor.",
                "A signal handler that another library put before the JVM's.",
                "An emulator or hypervisor that reports the fault in another way than the CPU.",
            ),
            (
                f"Probe the compiler: run with -XX:CompileCommand=exclude,{command}, then with"
                " -XX:TieredStopAtLevel=1.",
                update,
            ),
        )
    return _Reading(
        "an integer division by zero that became no ArithmeticException",
        f"{usual} The interpreter divides only so; the signal did not reach the JVM as the kernel sends it.",
        "observation",
        (
            "A signal handler that another library put before the JVM's.",
            "An emulator (Rosetta, qemu) or hypervisor that reports the fault in another way than the CPU.",
        ),
        (
            "Check whether the JVM is built for this machine's CPU: an x86-64 JVM on Apple silicon runs under Rosetta.",
            *advice.chained_handlers(report),
            update,
        ),
    )


RULE = Rule(id="jvm-arithmetic-fault", group="jvm", specificity=83, check=check, documentation=__doc__ or "")
