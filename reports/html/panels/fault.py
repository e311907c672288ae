"""The faulting instruction, what it worked with, the registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.html.panel import Panel, Shown
from reports.words import facts

if TYPE_CHECKING:
    from reports.html.panel import Page


def _build(page: Page) -> Shown | None:
    crash = page.report.crash
    known, registers = facts.crash_facts(page.report), facts.register_rows(page.report)
    if not (known or registers or crash.disassembly or crash.operands):
        return None
    return Shown({"crash": crash, "facts": known, "registers": registers})


PANEL = Panel("crash", "Fault and registers", _build)
