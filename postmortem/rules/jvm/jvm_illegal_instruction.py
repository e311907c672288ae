"""Illegal instruction in code that the JVM generated.

What it finds: SIGILL (Windows: an illegal or privileged instruction) in a compiled method, the interpreter or a stub.
Why it matters: the JVM chooses instructions by what the CPU says it can; where a hypervisor or emulator shows a feature
that it does not give, every JVM on that machine fails. No object is damaged, no address was touched.
Evidence it needs: the signal, a frame of generated code as the first one; the bytes at pc name the extension.
False alarms: a trap that the compiler placed itself (ud2) is told as that.
Rivals excluded: SIGILL that the JVM sent to end itself (AbortVMOnSafepointTimeout); a fault of memory; code of a
library, which has rules of its own.
What to do: turn the extension off (-XX:UseAVX, -XX:UseSVE), fix the virtual CPU's model, update the JDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts, culprit, pointers
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.model.queries.systems import system
from postmortem.rules import advice
from postmortem.rules.fault import illegal_instruction
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Claim, Confidence

ILLEGAL = ("SIGILL", "EXCEPTION_ILLEGAL_INSTRUCTION", "EXCEPTION_PRIV_INSTRUCTION")


class _Reading(NamedTuple):
    """What the bytes at pc are: a few words, a sentence, and the JVM's option that does without."""

    brief: str
    text: str
    option: str
    claim: Claim = "cause"
    sure: Confidence = "likely"


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if jvm_views.fault_name(report) not in ILLEGAL or not jvm_views.own_fault(report) or aborts.own_signal(report):
        return
    frame = jvm_frames.top(report)
    if frame is None or not jvm_frames.is_generated(frame) or not jvm_views.is_jvm(report):
        return
    place = _place(report)
    reading = _reading(report)
    on = system(report)
    hosted = report.host.virtualization if report.host is not None else None
    under = f" It runs under {hosted.removesuffix(' detected').removesuffix(' virtualization')}." if hosted else ""
    under = f" Its instructions are translated by {on.emulator}." if on.emulator else under
    cpu = report.host.cpu if report.host is not None else None
    yield Finding(
        rule=RULE.id,
        title=f"{jvm_views.fault_name(report)} in {place}: {reading.brief}",
        severity="critical",
        confidence=reading.sure,
        claim=reading.claim,
        explanation=(
            f"The CPU refused an instruction that the JVM generated, in {place}. {reading.text}{under} No address was"
            " touched and nothing says that an object was damaged."
        ),
        rivals=_RIVALS if reading.claim == "cause" else (),
        evidence=proof(
            report,
            ("crash.signal.name", "the signal"),
            ("crash.pc", "in generated code"),
            ("crash.instruction_bytes", "the bytes at pc"),
            ("crash.instruction", "the instruction"),
            (views.frame_path(report, jvm_frames.telling(views.crashing_frames(report)) or 0), "the code"),
            ("host.cpu" if cpu else "", "the CPU and the features that it shows"),
            ("host.virtualization", "the hypervisor"),
            ("host.platform", "what the JVM was built for"),
        ),
        remedies=(
            *([f"Try {reading.option}: the JVM then does without that extension."] if reading.option else []),
            *(
                [f"Run an image that is built for this machine's CPU, without {on.emulator}."]
                if on.emulator
                else [
                    "In a virtual machine: give it a CPU model that has what it shows (host-passthrough, or a model"
                    " without the extension), and update hypervisor and microcode."
                ]
            ),
            "Update to the newest release of this JDK version.",
            advice.memory_test(report),
        ),
    )


_RIVALS = (
    "Code that was overwritten, or a jump into the middle of an instruction: then other methods crash, too.",
    "A defect of the CPU, if it happens on one machine only.",
)


def _place(report: Report) -> str:
    """ "C2-compiled code of codec.Hash.mix()", "the interpreter (java.lang.System.registerNatives())"."""
    frame = jvm_frames.top(report)
    assert frame is not None
    if frame.kind == "java-compiled":
        level = jvm_frames.level_name(frame.compile_level).split(",")[0]
        return f"{level}-compiled code of {culprit.label(frame)}"
    if frame.kind == "java-interpreted":
        return f"the interpreter ({culprit.label(frame)})"
    return f"the stub {frame.function}" if frame.function else "a stub of the JVM"


def _reading(report: Report) -> _Reading:
    raw = "".join((report.crash.instruction_bytes or "").casefold().split())
    platform = (report.host.platform if report.host is not None else None) or report.core.machine or ""
    arm = "aarch64" in platform
    if raw and not arm and raw.startswith(illegal_instruction.TRAP_BYTES):
        return _Reading(
            "a trap that the JVM placed itself",
            "The bytes are ud2, which the JVM places where execution must not come: a check in the generated code"
            " failed, or control went astray.",
            "",
            "observation",
            "certain",
        )
    word = int.from_bytes(bytes.fromhex(raw[:16].ljust(16, "0")), "little") if raw else 0
    if raw and (word == 0 or pointers.as_text(word)):
        return _Reading(
            "the bytes at pc are no code",
            f"The bytes at pc ({raw[:16]}) are no instruction of generated code: it was overwritten, or control went"
            " astray.",
            "",
            "observation",
            "certain",
        )
    if arm:
        sve = _is_sve(raw)
        of = " (SVE)" if sve else ""
        return _Reading(
            f"an instruction that the CPU does not run{of}",
            ("The instruction is one of SVE." if sve else "")
            + " On AArch64 that is mostly SVE: the CPU's features show it, while the hypervisor or a filter for system"
            " calls does not give it, or its vector length could not be asked (prctl).",
            "-XX:UseSVE=0",
        )
    if raw.startswith("62"):
        return _Reading(
            "an instruction that the CPU does not run (AVX-512)",
            "The bytes begin with the EVEX prefix: an AVX-512 instruction, which the CPU shows but does not run here.",
            "-XX:UseAVX=2",
        )
    if raw.startswith(("c4", "c5")):
        return _Reading(
            "an instruction that the CPU does not run (AVX)",
            "The bytes begin with the VEX prefix: an AVX, AVX2, BMI or FMA instruction, which the CPU shows but does"
            " not"
            " run here.",
            "-XX:UseAVX=0",
        )
    return _Reading(
        "an instruction that the CPU does not run",
        "The JVM generates code for what the CPU says it can: a feature that a hypervisor or an emulator shows and does"
        " not give (on x86 mostly AVX-512) ends so.",
        "-XX:UseAVX=2, then -XX:UseAVX=0",
    )


def _is_sve(raw: str) -> bool:
    """Bits 28 to 25 of an A64 instruction are 0010 for SVE (Arm ARM, C4.1)."""
    if len(raw) < 8:
        return False
    word = int.from_bytes(bytes.fromhex(raw[:8]), "little")
    return word >> 25 & 0xF == 0b0010


RULE = Rule(id="jvm-illegal-instruction", group="jvm", specificity=83, check=check, documentation=__doc__ or "")
