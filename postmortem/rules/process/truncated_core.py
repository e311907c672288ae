"""Core file cut short.

What it finds: segments that lie beyond the end of the file.
Why it matters: stacks and heap at high addresses are lost; some threads cannot be unwound.
Evidence it needs: the size of the file against its program headers.
False alarms: sparse copies that lost their tail look the same and are as incomplete.
Rivals excluded: memory that was left out on purpose: the file ends before its segments do.
What to do: raise the limit on cores, or give the disk room.
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
    if not report.core.truncated or views.is_log(report):  # A log that ends early is in `problems`.
        return
    lost = report.core.lost
    blind = sum(1 for thread in report.threads if thread.ended in ("unreadable", "no-registers"))
    head = (
        "Registers and notes come first and are there; memory at high addresses, stacks among it, is lost."
        if report.threads
        else "Not even the notes with the threads and their registers are there."
    )
    amount = f", {views.size_text(lost)} are missing" if lost > 0 else ""
    yield Finding(
        rule=RULE.id,
        title=f"The core file is cut short{amount}",
        severity="low",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The core ends before its segments do{amount}. {head} {blind} of {len(report.threads)} threads"
            " could not be unwound to the bottom for want of memory. RLIMIT_CORE, a size limit of"
            " systemd-coredump, a full disk or an interrupted copy cut it."
        ),
        evidence=proof(
            report,
            ("core.truncated", "the file ends before its segments"),
            ("core.lost", "bytes beyond the end of the file"),
            ("core.size", "bytes of the file"),
        ),
        remedies=(
            (
                "Set ulimit -c unlimited (LimitCORE=infinity), and in coredump.conf ProcessSizeMax= and"
                " ExternalSizeMax=."
            ),
            ("Check the free space where cores are written (df), and compare the copy's size with the original's."),
        ),
    )


RULE = Rule(id="truncated-core", group="process", specificity=6, check=check, documentation=__doc__ or "")
