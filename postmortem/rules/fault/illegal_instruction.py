"""Illegal instruction.

What it finds: an instruction that the processor refuses: a trap the compiler placed, an extension that this
processor lacks, or bytes that are no instruction.
Why it matters: a compiler trap is a failed check in the program; a missing extension is a build problem.
Evidence it needs: SIGILL and the decoded instruction; AT_HWCAP tells what the processor has.
False alarms: code that was overwritten, or a jump into the middle of an instruction, can decode to
anything.
Rivals excluded: SIGILL that somebody sent; an instruction that this CPU runs: a compiler's trap is told by its bytes.
What to do: for a trap look at the source line; else build for the oldest processor in use.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Confidence, Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHECKS = (
    "overflow of an addition",
    "__builtin_unreachable() was reached",
    "control flow integrity (CFI): an indirect call or a cast of the wrong type",
    "integer division by zero, or of the smallest value by -1",
    "an object that is not of the type that it is used as (vptr)",
    "a floating-point number beyond the integer type that it is converted to",
    "a call through a function pointer of the wrong type",
    "an implicit conversion that changes the value",
    "an invalid argument of a compiler's builtin (__builtin_clz(0))",
    "an invalid cast of Objective-C",
    "a value that its type cannot have (bool, enum)",
    "the end of a function that returns a value, without return",
    "overflow of a multiplication",
    "overflow of a negation",
    "null for an argument that must not be null (_Nonnull)",
    "null returned where it must not be (_Nonnull)",
    "null for an argument that must not be null (nonnull)",
    "null returned where it must not be (returns_nonnull)",
    "an array index out of bounds",
    "overflow of a pointer's arithmetic",
    "a shift by too much or of a negative value",
    "overflow of a subtraction",
    "a null or misaligned pointer, or too small an object",
    "an alignment that was promised (assume_aligned)",
    "a variable-length array whose size is not positive",
)
"""clang's SanitizerHandler, whose number llvm.ubsantrap puts into the displacement of ud1 (since LLVM 12)."""
_UBSANTRAP = re.compile(r"67(?:48)?0fb9[4-7][0-7](?P<number>[0-9a-f]{2})|670fb9(?P<none>0[0-7])")
TRAPS = frozenset({"ud0", "ud1", "ud2", "ud2a", "ud2b", "brk", "udf", "hlt"})
TRAP_BYTES = ("0f0b", "0fb9", "0fff", "670fb9", "67400fb9")
_RETIRED = (
    "vfmaddps",
    "vfmaddpd",
    "vfmaddss",
    "vfmaddsd",
    "vfmsub",
    "vfnmadd",
    "vfnmsub",
    "vpcom",
    "vpmacs",
    "vprot",
    "femms",
    "pf",
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not views.signal_is(report, views.SIGILL) or not views.raised_by_cpu(report):
        return
    title, text, confidence, remedy = _reading(report)
    where = views.inside(report)
    yield Finding(
        rule=RULE.id,
        title=f"{title}{where}",
        severity="critical",
        confidence=confidence,
        claim="observation" if _check_of_clang(_code(report)) is None else "cause",
        explanation=f"The processor refused the instruction at pc{where}. {text}",
        evidence=proof(
            report,
            ("crash.signal.code_name", "the kernel's answer"),
            ("crash.instruction", "the refused instruction"),
            ("crash.instruction_bytes", "its bytes"),
            ("native.hwcap", "what the processor can (AT_HWCAP)"),
            ("native.hwcap2", "what the processor can (AT_HWCAP2)"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(remedy,),
    )


def is_trap(report: Report) -> bool:
    """The instruction is one that no processor executes: a compiler puts it where code can't be reached."""
    return _mnemonic(report) in TRAPS or _code(report).startswith(TRAP_BYTES)


def _mnemonic(report: Report) -> str:
    return (report.crash.mnemonic or (report.crash.instruction or "").split(" ", 1)[0]).casefold()


def _code(report: Report) -> str:
    """Its bytes in hexadecimal."""
    return "".join((report.crash.instruction_bytes or "").casefold().split())


def _check_of_clang(raw: str) -> str | None:
    """The check whose failure clang's trap tells, by the bytes of ud1 with a displacement of a byte and 32-bit base."""
    found = _UBSANTRAP.fullmatch(raw)
    if found is None:
        return None
    number = int(found["number"], 16) if found["number"] else 0
    return _CHECKS[number] if number < len(_CHECKS) else None


def _reading(report: Report) -> tuple[str, str, Confidence, str]:
    """Title, sentence, confidence and remedy. Long: they are texts, one for each reading."""
    mnemonic, raw = _mnemonic(report), _code(report)
    check = _check_of_clang(raw)
    if check is not None:
        return (
            f"Failed check of -fsanitize, {check},",
            f"The instruction is the trap that clang places for -fsanitize-trap, and its operand is the number of the"
            f" check: {check}.",
            "certain",
            "Look at the source line of the crashing frame for that operation. Rebuild with -fsanitize=undefined -g"
            " (without -fsanitize-trap) to have the values named.",
        )
    if is_trap(report):
        return (
            "Compiler trap reached",
            (
                f"{mnemonic or 'ud2'} is placed by the compiler where execution must not get: __builtin_trap,"
                " __builtin_unreachable, a missing return, a check of -fsanitize-trap, or a run-time's abort."
            ),
            "certain",
            (
                "Look at the source line of the crashing frame: it holds the check that failed, or the code"
                " that was promised never to run. Rebuild with -fsanitize=undefined (without trap) to have it"
                " named."
            ),
        )
    if mnemonic and not mnemonic.startswith((".byte", "(bad)")):
        old = mnemonic.startswith(_RETIRED)
        return (
            f"Instruction {mnemonic} is not supported by this processor",
            f"{mnemonic} is a valid instruction, so this processor or virtual machine lacks its extension"
            + (" (current processors have dropped it)." if old else ", or the system does not enable it."),
            "likely",
            (
                "Build for the oldest processor in use (-march=x86-64-v2, no -march=native), or choose the"
                " code at run time by __builtin_cpu_supports; in a virtual machine check the CPU model that"
                " it offers."
            ),
        )
    if raw or mnemonic:
        return (
            "Execution of bytes that are no instruction",
            (
                f"The bytes {raw or 'at pc'} decode to nothing this tool knows: the jump went to data or into"
                " the middle of an instruction, the code was overwritten, or the extension is newer than the"
                " decoder."
            ),
            "likely",
            "Compare the code in memory with the file; look at the caller for a damaged function pointer.",
        )
    mapping = views.mapping_at(report, report.crash.pc) if report.crash.pc is not None else None
    if mapping is not None and mapping[1].dumped:
        return (
            "Illegal instruction",
            "The bytes at pc are in the core and decode to no instruction that this tool knows: execution ran on into"
            " data or unused memory, the code was overwritten, or it is newer than the decoder.",
            "likely",
            "Look at the code that leads here and at who wrote it; generated code that lacks its return runs on into"
            " what follows it.",
        )
    if views.is_log(report):
        return (
            "Illegal instruction",
            "The log does not show the bytes at pc, so the instruction could not be decoded: one that this processor"
            " lacks, or a compiler's trap where a check failed.",
            "likely",
            "Compare what the library was built for with the features of the CPU that the log lists.",
        )
    return (
        "Illegal instruction",
        "The code is not in the core and no matching binary was found, so it could not be decoded.",
        "likely",
        "Give the analysis the matching binary (--exe, --sysroot): it decodes the instruction.",
    )


RULE = Rule(id="illegal-instruction", group="fault", specificity=75, check=check, documentation=__doc__ or "")
