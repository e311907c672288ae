"""What could not be read or done, and what was masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import text
from reports.html.panel import Panel, Shown
from reports.words import answer

if TYPE_CHECKING:
    from reports.html.panel import Page

_LISTED = 400


def _build(page: Page) -> Shown:
    problems = page.report.problems
    values = {"problems": page.rows(problems, "problems", _LISTED), "masked": answer.redacted_text(page.report)}
    return Shown(values, text.number(len(problems)))


PANEL = Panel("problems", "What could not be done", _build)
