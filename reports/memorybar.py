"""Memory to scale: bytes by kind, and the mappings in the order of their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.text import base_name, plural, size

if TYPE_CHECKING:
    from postmortem.model import Mapping, Report

COLOURS = 9
"""Kinds with a colour of their own; the last colour is for all others."""
STRIPES = 300
WIDTH = 1000.0


@dataclass(frozen=True, slots=True)
class Part:
    """A box of a bar, in units of WIDTH."""

    x: float
    width: float
    colour: int
    title: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of memory; bytes."""

    name: str
    size: int
    share: float
    """Percent of all."""
    colour: int


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Bars by kind and by address. `marks` are x positions of addresses with their names."""

    total: int
    kinds: tuple[Kind, ...]
    by_kind: tuple[Part, ...]
    by_address: tuple[Part, ...]
    marks: tuple[tuple[float, str], ...]


def anatomy(report: Report) -> Anatomy | None:
    """The bars, or None when nothing is known of the memory."""
    sizes = {kind: count for kind, count in report.memory.by_kind.items() if count > 0}
    if not sizes:
        for mapping in report.mappings:
            if mapping.end > mapping.start:
                kind = mapping.kind or "other"
                sizes[kind] = sizes.get(kind, 0) + mapping.end - mapping.start
    total = sum(sizes.values())
    if not total:
        return None
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    colours = {kind: min(at, COLOURS) for at, (kind, _) in enumerate(ordered)}
    kinds = tuple(Kind(name, count, 100 * count / total, colours[name]) for name, count in ordered)
    x = 0.0
    parts = []
    for one in kinds:
        width = WIDTH * one.size / total
        parts.append(Part(x, width, one.colour, f"{one.name}: {size(one.size)}"))
        x += width
    stripes, marks = _by_address(report, colours)
    return Anatomy(total, kinds, tuple(parts), stripes, marks)


def _by_address(report: Report, colours: dict[str, int]) -> tuple[tuple[Part, ...], tuple[tuple[float, str], ...]]:
    mappings = sorted((one for one in report.mappings if one.end > one.start), key=lambda one: one.start)
    total = sum(one.end - one.start for one in mappings)
    if not total:
        return (), ()
    scale = WIDTH / total
    crash = report.crash
    wanted = [("pc", crash.pc), ("fault address", crash.fault_address)]
    if report.threads and report.threads[0].frames:
        wanted.append(("stack pointer", report.threads[0].frames[0].sp))
    marks: list[tuple[float, str]] = []
    runs: list[tuple[float, float, str, list[Mapping]]] = []
    at = 0
    for one in mappings:
        length = one.end - one.start
        for name, address in wanted:
            if address is not None and one.start <= address < one.end:
                marks.append(((at + address - one.start) * scale, f"{name} {address}"))
        kind = one.kind or "other"
        x, width = at * scale, length * scale
        if runs and (runs[-1][2] == kind or (width < WIDTH / STRIPES and runs[-1][1] < WIDTH / STRIPES)):
            # Neighbours of one kind are one box; so are slivers that could not be told apart.
            start, wide, first, members = runs[-1]
            runs[-1] = (start, wide + width, first, [*members[:3], one] if len(members) < 4 else members)
            if len(members) >= 4:
                members[3] = one
        else:
            runs.append((x, width, kind, [one]))
        at += length
    parts = tuple(Part(x, width, colours.get(kind, COLOURS), _title(kind, members)) for x, width, kind, members in runs)
    return parts[: 4 * STRIPES], tuple(marks)


def _title(kind: str, members: list[Mapping]) -> str:
    paths = list(dict.fromkeys(base_name(one.path) for one in members if one.path))
    names = f" ({', '.join(paths[:3])})" if paths else ""
    return f"{members[0].start} to {members[-1].end}: {kind}{names}"


def summary(report: Report, made: Anatomy) -> str:
    """The memory in a sentence."""
    count = report.memory.mappings or len(report.mappings)
    text = f"{size(made.total)} of address space"
    if count:
        text += f" in {plural(count, 'mapping')}"
    dumped = report.memory.dumped
    return f"{text}; the core holds {size(dumped)}." if dumped else f"{text}."
