"""Many glibc malloc arenas.

What it finds: many arenas beside the main one, as glibc makes them for threads that allocate at once.
Why it matters: memory freed in one arena is not used by another; resident memory grows without a leak.
Evidence it needs: the arenas found at 64 MiB boundaries of anonymous memory.
False alarms: many arenas with little in them do no harm beyond address space.
What to do: MALLOC_ARENA_MAX=2, or another allocator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 16
"""Arenas from which they are worth a finding: glibc's own limit is eight for each processor."""
SHARE = 0.25
"""Part of the anonymous memory that they hold, at least, to be likely the cause of growth."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    arenas = report.native.arenas
    if len(arenas) < MANY:
        return
    held = sum(arena.size for arena in arenas)
    anonymous = report.native.anonymous
    share = held / anonymous if anonymous > 0 else None
    part = f", {share:.0%} of the anonymous memory" if share is not None and share <= 1 else ""
    yield Finding(
        rule=RULE.id,
        title=f"{len(arenas)} malloc arenas hold {views.size_text(held)}{part}",
        severity="medium",
        confidence="likely" if share is None or share >= SHARE else "possible",
        claim="observation",
        explanation=(
            f"glibc made {len(arenas)} arenas beside the main one, which hold {views.size_text(held)}{part}."
            " Each serves some of the threads and keeps what they free; so resident memory can grow with the"
            " number of threads and stay high without a leak."
        ),
        evidence=proof(
            report,
            ("native.arenas", "arenas beside the main one"),
            ("native.arenas[0].size", "bytes of the first"),
            ("native.anonymous", "bytes of anonymous memory"),
            ("threads", "threads of the process"),
        ),
        remedies=(
            ("Set MALLOC_ARENA_MAX=2 in the environment (or mallopt(M_ARENA_MAX, 2)) and compare the resident memory."),
            "If allocation speed suffers, try jemalloc or tcmalloc, or call malloc_trim(0) at quiet times.",
        ),
    )


RULE = Rule(id="malloc-arena-growth", group="process", specificity=24, check=check, documentation=__doc__ or "")
