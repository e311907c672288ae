"""A panel of the page: a file, a template and, where it has its own, a stylesheet, all of one name in `panels/`.

A panel is added as these files and a row in PANELS.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from postmortem.model import Report

PANELS = (
    "findings",
    "threads",
    "fault",
    "memory",
    "jvm",
    "modules",
    "mappings",
    "native",
    "process",
    "problems",
    "flame",
    "timings",
)
"""Files in `panels/`, in the order of the page; each has PANEL."""

TABLE_ROWS = 1000
"""Rows of one table; the JSON report has all."""


class Page(Protocol):
    """What a panel may use: the report, and what the page knows of places that evidence leads to.

    crashing: index in `threads` of the crashing thread. same_stack: index of a thread to that of the one whose stack is
    shown for it; the panel of threads fills it.
    """

    report: Report
    crashing: int | None
    same_stack: dict[int, int]

    def rows(self, items: Sequence[Any], path: str, limit: int = TABLE_ROWS) -> list[tuple[int, Any]]:
        """(place, item) of the first `limit` items and of those that evidence names."""
        ...


class Shown(NamedTuple):
    """values: the names that the panel's template uses. aside: the count beside the title in the contents."""

    values: Mapping[str, Any]
    aside: str = ""


class Panel(NamedTuple):
    """id: of the section, where links lead. build: what is shown of a report; None: nothing.

    cites: the panel links to places in the others, and is rendered after them.
    """

    id: str
    title: str
    build: Callable[[Page], Shown | None]
    cites: bool = False


def load(name: str, home: str) -> Panel:
    """The panel of a file in the package `home`."""
    panel: Panel = import_module(f"{home}.{name}").PANEL
    return panel
