"""What the memory is used for, as one bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import memorybar
from reports.html.panel import Panel, Shown

if TYPE_CHECKING:
    from reports.html.panel import Page


def _build(page: Page) -> Shown | None:
    made = memorybar.anatomy(page.report)
    if made is None:
        return None
    return Shown({"anatomy": made, "summary": memorybar.summary(page.report, made)})


PANEL = Panel("memory", "Memory", _build)
