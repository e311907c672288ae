"""Execution of memory that is not executable.

What it finds: pc in a mapping without execute permission.
Why it matters: control went where data is: an overwritten function pointer or return address, or an attack.
Evidence it needs: SIGSEGV with SEGV_ACCERR and pc equal to the fault address.
False alarms: nested functions of GNU C need an executable stack; a JIT that forgot mprotect looks the same.
Rivals excluded: a read or write of data: the address that faulted is the pc itself; code that is not mapped at all.
What to do: look at the caller, and at what wrote the pointer it called through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    pc = report.crash.pc
    if pc is None or not views.signal_is(report, views.SIGSEGV) or views.code(report) != views.SEGV_ACCERR:
        return
    found = views.mapping_at(report, pc)
    if found is None or "x" in found[1].permissions:
        return
    index, mapping = found
    caller = views.caller_of(report, 0)
    by = f", called by {views.caller_text(report, 0)}" if caller else ""
    on_stack = mapping.kind is not None and "stack" in mapping.kind
    yield Finding(
        rule=RULE.id,
        title=f"Execution of non-executable memory at {pc:#x} in {views.mapping_text(mapping)}{by}",
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(f"The processor was to execute at {pc:#x}, in a mapping that permits {mapping.permissions!r}. ")
        + (
            "That is a stack: an overwritten return address, a nested function without an executable stack,"
            " or an attack."
            if on_stack
            else (
                "A function pointer, vtable or return address points at data, or generated code was never"
                " made executable."
            )
        ),
        evidence=proof(
            report,
            ("crash.pc", "where execution went"),
            ("crash.signal.code_name", "mapped, but not for this access"),
            (f"mappings[{index}].permissions", "what the mapping permits"),
            ("crash.call_site", "the call before the return address"),
            (views.frame_path(report, caller[0]) if caller else "", "the caller"),
        ),
        remedies=(
            "Find what wrote the pointer that the caller used: rebuild with -fsanitize=address,undefined.",
            "If the program generates code, make the pages executable with mprotect before the call.",
        ),
    )


RULE = Rule(id="execute-non-executable", group="fault", specificity=70, check=check, documentation=__doc__ or "")
