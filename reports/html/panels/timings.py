"""How long each stage of the analysis took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.html.panel import Panel, Shown

if TYPE_CHECKING:
    from reports.html.panel import Page


def _build(page: Page) -> Shown | None:
    return Shown({}) if page.report.timings else None


PANEL = Panel("timings", "Timings", _build)
