"""The stacks of all threads as one flame graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from reports import flamegraph
from reports.html.panel import Panel, Shown

if TYPE_CHECKING:
    from reports.html.panel import Page


def _build(page: Page) -> Shown | None:
    graph, note = flamegraph.svg(page.report.threads)
    return Shown({"graph": Markup(graph), "note": note}) if graph else None


PANEL = Panel("flame", "Flame graph of all threads", _build)
