"""Write to read-only memory.

What it finds: a write to a mapping that permits no writing: a string literal, constant data, code.
Why it matters: the compiler or linker put the data there for a reason; a cast removed the const.
Evidence it needs: SIGSEGV with SEGV_ACCERR and an address in a readable mapping without "w".
False alarms: protection keys (SEGV_PKUERR) have another code. A fetch from memory without "x" is execute-
non-executable.
Rivals excluded: a read; a page without any access.
What to do: find the const that was cast away, or copy the data before changing it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Mapping, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
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
    if found is None or views.pc_is_fault(report) or views.access_word(report) == "read":
        return
    index, mapping = found
    if not mapping.permissions.startswith("r-"):
        return
    yield Finding(
        rule=RULE.id,
        title=f"Write to {_whose(mapping)} at {address:#x}{views.at_fault(report)}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"The mapping of {address:#x} permits {mapping.permissions!r}, so reading works and writing does not. "
        )
        + _origin(mapping),
        evidence=proof(
            report,
            *operand_evidence(report),
            ("crash.signal.code_name", "mapped, but not for this access"),
            (views.fault_address_path(report), "the address written to"),
            ("crash.fault_address_text", "what lies there"),
            (f"mappings[{index}].permissions", "what the mapping permits"),
            (f"mappings[{index}].path", "whose memory it is"),
            ("crash.instruction", "the faulting instruction"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            (
                "Copy the data before changing it; make the pointer const so that the compiler objects"
                " (-Wwrite-strings, -Wcast-qual)."
            ),
            "If the memory is the program's own, look for mprotect or mmap with PROT_READ on it.",
        ),
    )


def _origin(mapping: Mapping) -> str:
    if mapping.path:
        return "It comes from a file: constants and string literals, code, or a file mapped for reading."
    if mapping.kind == "java heap":
        return (
            "The JVM maps its heap for reading and writing, so something in the process has changed that with"
            " mprotect(): a native library or an agent. The object itself need not be damaged."
        )
    return "It was made or made read-only by the program itself."


def _whose(mapping: Mapping) -> str:
    if mapping.path is None:
        return "the Java heap, made read-only," if mapping.kind == "java heap" else "read-only memory"
    kind = "code" if "x" in mapping.permissions else "read-only data"
    return f"{kind} of {file_name(mapping.path)}"


RULE = Rule(id="write-to-read-only", group="fault", specificity=66, check=check, documentation=__doc__ or "")
