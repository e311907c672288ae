"""Misaligned access.

What it finds: an instruction that demands alignment, used on an address that is not aligned.
Why it matters: the address is mapped and looks fine; with the kernel's address 0 it is taken for a null
pointer.
Evidence it needs: SIGSEGV with SI_KERNEL and an operand whose alignment is known and violated; or SIGBUS
with BUS_ADRALN.
False alarms: a non-canonical address with the same instruction is reported as such, not here.
Rivals excluded: an address that is not canonical; an operand for which the instruction demands no alignment.
What to do: fix the cast or the allocation; for stack operands, whoever broke the 16-byte stack alignment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.model.queries.registers import FRAME_POINTERS, STACK_POINTERS
from postmortem.model.queries.variables import operand_evidence
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK_REGISTERS = (*STACK_POINTERS, *FRAME_POINTERS)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if views.signal_is(report, views.SIGSEGV) and views.code(report) == views.SI_KERNEL:
        for index, operand in enumerate(report.crash.operands):
            demand = operand.alignment
            if operand.canonical and demand and demand > 1 and operand.address % demand:
                yield _finding(report, index)
                return
    elif views.signal_is(report, views.SIGBUS) and views.code(report) == views.BUS_ADRALN:
        yield _finding(report, None)


def _finding(report: Report, index: int | None) -> Finding:
    where = views.inside(report)
    operand = report.crash.operands[index] if index is not None else None
    address = operand.address if operand else views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    if operand is not None and operand.alignment:
        rest = operand.address % operand.alignment
        text = (
            f"The instruction demands an address divisible by {operand.alignment}; {operand.address:#x}"
            f" leaves {rest}. For this fault the kernel reports address 0, which does not mean a null"
            " pointer."
        )
        if operand.base in STACK_REGISTERS:
            text += (
                f" The operand is on the stack ({operand.base}): the stack itself lost its alignment, through"
                " hand-written assembly, a callback of another calling convention, or a context switch."
            )
    else:
        text = (
            "The kernel reports an alignment error: the alignment check flag is set (on x86), or the machine"
            " demands alignment for this access."
        )
    path = f"crash.operands[{index}]" if index is not None else "crash.operands[0]"
    return Finding(
        rule=RULE.id,
        title=f"Misaligned {views.access_word(report)}{at}{where}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=text,
        evidence=proof(
            report,
            *operand_evidence(report),
            ("crash.signal.code_name", "the kernel's answer"),
            ("crash.instruction", "the faulting instruction"),
            (f"{path}.address", "the address of its operand"),
            (f"{path}.alignment", "the alignment that it demands"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            "Check where this stack was made or switched to: at a call, its pointer must be divisible by 16, also on a"
            " coroutine's or signal's stack and in hand-written assembly.",
        )
        if operand is not None and operand.base in STACK_REGISTERS
        else (
            ("Look for a cast from a byte pointer to a vector or wider type; use memcpy or an unaligned load instead."),
            ("Allocate with aligned_alloc or alignas as the type demands; -fsanitize=alignment names the expression."),
        ),
    )


RULE = Rule(id="misaligned-access", group="fault", specificity=75, check=check, documentation=__doc__ or "")
