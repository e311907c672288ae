"""Structures whose pointers hold text: their block was given to something else, or was overwritten."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views
from postmortem.model.queries.pointers import as_text

if TYPE_CHECKING:
    from postmortem.model import Report

_POINTER = re.compile(r"\b([A-Za-z_]\w*) = (0x[0-9a-f]{12,16})\b")
_INNERMOST = 3
_LEAST = 2
"""Members that must hold text: one alone may be a number that looks like it."""
_MALLOC = ("malloc", "heap")


class Overwritten(NamedTuple):
    """where: the path of what the variable points to; name: the variable; sentence: what is seen."""

    where: str
    name: str
    sentence: str


def by_text(report: Report) -> Overwritten | None:
    """The variable of the crashing functions that leads to such a structure in memory of malloc."""
    found = views.crashing_thread(report)
    if found is None:
        return None
    for number, frame in enumerate(found[1].frames[:_INNERMOST]):
        if frame.kind != "native" or frame.trust == "scan":
            return None
        for member, values in (("arguments", frame.arguments), ("locals", frame.locals)):
            for index, value in enumerate(values):
                if value.points_to is None or not _is_allocated(report, value.value):
                    continue
                texts = [(name, as_text(int(word, 16))) for name, word in _POINTER.findall(value.points_to)]
                odd = [(name, text) for name, text in texts if text is not None]
                if len(odd) < _LEAST or len(odd) < len(texts):
                    continue
                held = " and ".join(f"{name} ({text!r})" for name, text in odd[:3])
                late = " Its memory is as the signal handler left it." if report.crash.unwrapped else ""
                return Overwritten(
                    f"threads[{found[0]}].frames[{number}].{member}[{index}].points_to",
                    value.name,
                    f"{value.name} leads to a block of malloc whose pointers {held} are text: no such object is there."
                    f" It was freed and its block given to something else, or text was written over it.{late}",
                )
    return None


def _is_allocated(report: Report, value: str | None) -> bool:
    if value is None or not value.startswith("0x"):
        return False
    mapping = views.mapping_at(report, int(value, 16))
    return mapping is not None and (mapping[1].kind or "").startswith(_MALLOC)
