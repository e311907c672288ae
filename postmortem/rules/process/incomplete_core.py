"""Memory left out of the core.

What it finds: writable memory that the analysis needs and the core does not hold, though the file is whole.
Why it matters: stacks, heap or shared memory were not dumped.
Evidence it needs: mappings with no dumped bytes, in a core that is not cut short: all that are anonymous, or one that
a stack or the fault lies in.
False alarms: the kernel leaves out memory that was never written, too, so single mappings without bytes are no loss.
Rivals excluded: memory that was never written, which no core has; a core that was cut short.
What to do: set coredump_filter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Mapping, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if report.core.truncated or not report.core.format.startswith("elf"):
        return
    missing = [(index, m) for index, m in enumerate(report.mappings) if _left_out(m)]
    blind = [
        (index, thread)
        for index, thread in enumerate(report.threads)
        if thread.ended == "unreadable" and thread.stack is not None and _undumped_at(report, thread.stack.start)
    ]
    if not missing or not (blind or _wanted(report) or not _any_kept(report)):
        return
    stack = next((item for item in missing if "stack" in (item[1].kind or "")), None)
    total = sum(m.end - m.start for _, m in missing)
    index, mapping = stack or max(missing, key=lambda item: item[1].end - item[1].start)
    places = [(f"threads[{blind[0][0]}].ended", "the stack of this thread could not be read")] if blind else []
    yield Finding(
        rule=RULE.id,
        title=f"{views.size_text(total)} of writable memory are not in the core",
        severity="low",
        confidence="certain",
        claim="observation",
        explanation=(
            f"{len(missing)} writable mappings, {views.size_text(total)}, were not dumped although the file"
            " is whole: coredump_filter excludes their kind, or the program did (MADV_DONTDUMP)."
        )
        + (f" {len(blind)} threads could not be unwound for that." if blind else ""),
        evidence=proof(
            report,
            (f"mappings[{index}].start", f"for one {views.mapping_text(mapping)}"),
            (f"mappings[{index}].dumped", "bytes of it that the core holds"),
            ("memory.dumped", "bytes in the core"),
            *places,
        ),
        remedies=(
            (
                "Before the next crash: echo 0x3f > /proc/PID/coredump_filter (children inherit it), or"
                " CoredumpFilter=all in the systemd unit; 0x33 is the default, 0x37 adds what files back"
                " privately."
            ),
            "If the program excludes memory with MADV_DONTDUMP, give it a switch to leave it in.",
        ),
    )


def _left_out(mapping: Mapping) -> bool:
    """Writable and private or anonymous, and wholly absent; devices and the kernel's pages do not count."""
    if not mapping.permissions.startswith("rw") or mapping.dumped or (mapping.path or "").startswith(("/dev/", "[v")):
        return False
    return mapping.path is None or mapping.path.startswith("[")


def _any_kept(report: Report) -> bool:
    """Whether the core has any private memory that belongs to no file: the filter lets its kind through."""
    return any(m.dumped for m in report.mappings if m.path is None and m.permissions.startswith("rw"))


def _wanted(report: Report) -> bool:
    """The fault touched such memory."""
    address = views.fault_address(report)
    found = views.mapping_at(report, address) if address is not None else None
    return found is not None and _left_out(found[1])


def _undumped_at(report: Report, address: int) -> bool:
    found = views.mapping_at(report, address)
    return found is None or not found[1].dumped


RULE = Rule(id="incomplete-core", group="process", specificity=5, check=check, documentation=__doc__ or "")
