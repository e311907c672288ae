"""The process, its core and its machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.html.panel import Panel, Shown
from reports.words import facts

if TYPE_CHECKING:
    from reports.html.panel import Page

_VARIABLES = 400


def _build(page: Page) -> Shown:
    report = page.report
    environment = list(report.process.environment.items())[:_VARIABLES]
    return Shown({"facts": facts.core_facts(report), "host": facts.host_facts(report), "environment": environment})


PANEL = Panel("core", "Process and core", _build)
