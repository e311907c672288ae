"""A vector in reach of the fault that has just moved its elements to a larger block."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views
from postmortem.model.queries.patterns import Lazy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Report

_VECTOR = Lazy(r"(?:\b(\w+) = )?std::vector of length (\d{1,18}), capacity (\d{1,18})\b")
_LEAST = 256
"""Elements: of a smaller vector the block is no mapping of its own, unless they are large."""
_FAR = 1 << 30


class Grown(NamedTuple):
    """where: path of the value that shows it; name: of the variable or member."""

    where: str
    name: str
    length: int
    capacity: int


def just_grown(report: Report, address: int) -> Grown | None:
    """A vector that doubled its capacity for its last element, where an address lies among mappings that large blocks
    of malloc come from: the block that it had before is given back to the system when it is freed."""
    below, above = views.neighbours(report, address)
    if below is None or above is None or min(address - below[1].end, above[1].start - address) > _FAR:
        return None
    if any((one[1].kind or "").startswith(("heap", "stack")) for one in (below, above)):
        return None
    for found in _vectors(report):
        if found.capacity >= 2 * _LEAST and 2 * (found.length - 1) == found.capacity:
            return found
    return None


def _vectors(report: Report) -> Iterator[Grown]:
    blamed = views.blamed(report)
    for number, frame in enumerate(views.crashing_frames(report)[: blamed[0] + 1 if blamed else 0]):
        if frame.kind != "native" or frame.trust == "scan":
            return
        for member, values in (("arguments", frame.arguments), ("locals", frame.locals)):
            for index, value in enumerate(values):
                for part, text in (("text", value.text), ("points_to", value.points_to or "")):
                    match = _VECTOR.search(text)
                    if match is not None:
                        where = views.frame_path(report, number, f"{member}[{index}].{part}")
                        yield Grown(where, match[1] or value.name, int(match[2]), int(match[3]))
