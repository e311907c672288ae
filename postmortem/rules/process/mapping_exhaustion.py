"""Number of mappings near the kernel's limit.

What it finds: about as many mappings as vm.max_map_count permits (65530 unless changed).
Why it matters: mmap, mprotect and munmap then fail with "out of memory" although memory is free.
Evidence it needs: the number of mappings in the core.
False alarms: a raised vm.max_map_count; then the number is only large.
What to do: see which kind of mapping there is so much of, and stop making so many; or raise the limit.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_LIMIT = 65530
NEAR = 65000
"""Mappings from which the limit is taken for reached: some calls need two or three at once."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    count = report.memory.mappings or len(report.mappings)
    if count < NEAR:
        return
    beyond = count > DEFAULT_LIMIT + 64
    sizes = Counter((m.end - m.start, m.permissions) for m in report.mappings if m.path is None)
    most = ""
    if sizes:
        (size, permissions), number = sizes.most_common(1)[0]
        most = f" {number} of them are anonymous, of {size} bytes and {permissions!r}."
    yield Finding(
        rule=RULE.id,
        title=f"{count} mappings: the limit vm.max_map_count (65530 by default) is reached",
        severity="critical" if not beyond else "medium",
        confidence="likely" if not beyond else "possible",
        claim="observation",
        explanation=(
            f"The process has {count} mappings and the kernel permits {DEFAULT_LIMIT} unless vm.max_map_count"
            f" was changed.{most} At the limit mmap, mprotect and munmap fail with ENOMEM, so allocations and"
            " new threads fail although memory is free."
        ),
        evidence=proof(
            report,
            ("memory.mappings" if report.memory.mappings else "mappings", "mappings of the process"),
            ("native.errno", "errno of the crashing thread (12 is ENOMEM)"),
        ),
        remedies=(
            (
                "Find who makes so many small mappings: guard pages per object, mprotect of single pages, an"
                " allocator that gives back page by page, mapped files never unmapped."
            ),
            "Until then: sysctl -w vm.max_map_count=262144.",
        ),
    )


RULE = Rule(id="mapping-exhaustion", group="process", specificity=36, check=check, documentation=__doc__ or "")
