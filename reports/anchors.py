"""Paths into the report ("threads[0].frames[2].pc") and the places of the HTML report that they lead to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from postmortem.model import Report

_ODD = re.compile(r"[^a-z0-9]+")


def anchor(path: str) -> str:
    """The id of a path's place: "threads[0].frames[2]" is "threads-0-frames-2"."""
    return _ODD.sub("-", path.lower()).strip("-")


def ancestors(path: str) -> list[str]:
    """The path and what it lies in, nearest first: a[0].b, a[0], a."""
    found: list[str] = []
    while path and len(found) < 16:
        found.append(path)
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    return found


def cited(report: Report) -> frozenset[str]:
    """Paths that evidence names, with what they lie in: the places which must exist whatever is left out."""
    return frozenset(
        ancestor
        for finding in report.findings
        for evidence in finding.evidence
        for ancestor in ancestors(evidence.where)
    )


def resolve(path: str, places: Collection[str]) -> str | None:
    """The id of the nearest place that the page has, or None."""
    for ancestor in ancestors(path):
        if (name := anchor(ancestor)) in places:
            return name
    return None
