"""All findings, the verdict's first, with what each rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import text
from reports.html.panel import Panel, Shown
from reports.words import answer

if TYPE_CHECKING:
    from reports.html.panel import Page

_LISTED = 200


def _build(page: Page) -> Shown | None:
    found = answer.findings_in_order(page.report)
    if not found:
        return None
    values = {"findings": found[:_LISTED], "first": answer.verdict_finding(page.report)}
    return Shown(values, text.number(len(found)))


PANEL = Panel("findings", "Findings", _build, cites=True)
