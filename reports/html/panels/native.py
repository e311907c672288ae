"""What the C and C++ runtimes tell: last words, exceptions, arenas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.html.panel import Panel, Shown
from reports.words import facts

if TYPE_CHECKING:
    from reports.html.panel import Page


def _build(page: Page) -> Shown | None:
    known = facts.native_facts(page.report)
    message = page.report.native.runtime_message
    return Shown({"facts": known, "message": message or ""}) if known or message else None


PANEL = Panel("native", "C and C++ runtime", _build)
