"""The mappings of the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import text
from reports.html.panel import TABLE_ROWS, Panel, Shown

if TYPE_CHECKING:
    from reports.html.panel import Page


def _build(page: Page) -> Shown | None:
    mappings = page.report.mappings
    if not mappings:
        return None
    values = {"mappings": page.rows(mappings, "mappings"), "left": len(mappings) - TABLE_ROWS}
    return Shown(values, text.number(len(mappings)))


PANEL = Panel("mappings", "Mappings", _build)
