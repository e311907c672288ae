"""The modules, and which of their files were found and belong to the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import text
from reports.html.panel import TABLE_ROWS, Panel, Shown
from reports.words import facts

if TYPE_CHECKING:
    from reports.html.panel import Page


def _build(page: Page) -> Shown | None:
    modules = page.report.modules
    if not modules:
        return None
    values = {
        "modules": page.rows(modules, "modules"),
        "missing": len(facts.unmatched_modules(page.report)),
        "left": len(modules) - TABLE_ROWS,
        "advice": facts.module_advice,
    }
    return Shown(values, text.number(len(modules)))


PANEL = Panel("modules", "Modules", _build)
