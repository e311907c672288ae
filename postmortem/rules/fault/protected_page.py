"""Access to a page without any permission.

What it finds: a read or write of a mapping with permissions "---".
Why it matters: such pages are guards: an overrun ran into one, or memory was given back by mprotect.
Evidence it needs: SIGSEGV with SEGV_ACCERR and an address in a no-access mapping.
False alarms: virtual machines protect pages on purpose; in a JVM the finding is possible only. A thread's
stack guard belongs to stack-overflow.
Rivals excluded: a stack's guard: the stack pointer is far.
What to do: the mapping just below the page names what was overrun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import heapend, operands
from postmortem.model.queries.paths import proof
from postmortem.model.queries.variables import operand_evidence
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    address = views.fault_address(report)
    if not views.signal_is(report, views.SIGSEGV) or views.code(report) != views.SEGV_ACCERR or address is None:
        return
    found = views.mapping_at(report, address)
    if found is None or found[1].permissions[:3] != "---" or views.pc_is_fault(report):
        return
    index, mapping = found
    below = next((m for m in report.mappings if m.end == mapping.start), None)
    into = address - mapping.start
    cut = operands.cut_pointer(report)
    end = heapend.overrun(report)
    if end is not None:
        yield overrun(report, end, RULE.id)
        return
    beside = f" The mapping below it is {views.mapping_text(below)}." if below else ""
    yield Finding(
        rule=RULE.id,
        title=(
            f"{views.access_word(report).capitalize()} of the protected page at {address:#x}{views.at_fault(report)}"
            f"{cut[0] if cut is not None else ''}"
        ),
        severity="critical",
        confidence="possible" if views.java_process(report) else "certain",
        claim="observation",
        explanation=(
            f"{address:#x} lies {views.size_text(into)} inside a mapping that permits no access"
            f" ({views.size_text(mapping.end - mapping.start)}).{beside} "
            + (
                f"{cut[1]}."
                if cut is not None
                else "Such a page is a guard behind a buffer or a stack, or memory taken away with mprotect."
            )
        ),
        evidence=proof(
            report,
            *operand_evidence(report),
            ("crash.signal.code_name", "mapped, but not for this access"),
            (views.fault_address_path(report), "the address that was touched"),
            (f"mappings[{index}].permissions", "what the mapping permits"),
            ("crash.instruction", "the faulting instruction"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            *((operands.CUT_REMEDY,) if cut is not None else ()),
            "Find who protects this page (mprotect or mmap with PROT_NONE), and what lies just below it.",
            "Rebuild with -fsanitize=address to catch an overrun before it reaches the guard.",
        ),
    )


def overrun(report: Report, end: heapend.Overrun, rule: str) -> Finding:
    """A write that ran to the end of malloc's memory; the finding of whatever rule met it."""
    said = heapend.said_in_handler(report)
    then = f" malloc then found its data damaged, as a signal's handler called it: {said!r}." if said else ""
    return Finding(
        rule=rule,
        title=f"Heap overrun: a write ran to the end of malloc's memory{views.at_fault(report)}",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=(end.rival,),
        explanation=f"{end.sentence}{then} Every block on the way is overwritten.",
        evidence=proof(
            report,
            *operand_evidence(report),
            (views.fault_address_path(report), "the address that was touched"),
            (f"mappings[{end.below}].end", "where malloc's memory ends"),
            ("native.abort_message" if said else "", "what libc said of malloc's data afterwards"),
            ("crash.instruction", "the faulting instruction"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            f"Look at what bounds the loop{views.inside(report)}: a length that was itself overwritten, or an index"
            " that is compared with a wrong one.",
            heapend.REMEDY,
        ),
    )


RULE = Rule(id="protected-page", group="fault", specificity=45, check=check, documentation=__doc__ or "")
