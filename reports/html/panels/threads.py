"""All threads; those with the same stack and state are one entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import text
from reports.html.panel import Panel, Shown
from reports.words import stacks, threads

if TYPE_CHECKING:
    from reports.html.panel import Page

GROUP_ROWS = 64
ALL_ROWS = 4800
"""Frames in the panel; with more groups each shows fewer."""
GROUPS = 600


def _build(page: Page) -> Shown | None:
    report = page.report
    if not report.threads:
        return None
    groups = threads.group_threads(report.threads, GROUP_ROWS, threads.first_state(report))
    limit = max(8, min(GROUP_ROWS, ALL_ROWS // max(1, len(groups))))
    if limit < GROUP_ROWS:
        groups = threads.group_threads(report.threads, limit, threads.first_state(report))
    for group in groups:
        page.same_stack |= dict.fromkeys(group.indices, group.indices[0])
    shown = groups[:GROUPS]
    values = {
        "groups": [(group, threads.group_title(group), stacks.ended_text(group.threads[0])) for group in shown],
        "left": len(groups) - GROUPS,
        "crashing": page.crashing,
        "states": sorted({group.state for group in groups}),
        "waits": sorted({thread.wait.kind for thread in report.threads if thread.wait}),
    }
    return Shown(values, text.number(len(report.threads)))


PANEL = Panel("threads", "Threads", _build)
