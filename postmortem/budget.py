"""What one run may still take of each thing that an input can ask for without end.

Limits on single items are not enough: a thousand strings of a megabyte pass each of them. The budget of a run counts
across items, in the order of the analysis, so that equal input gives equal reports. What it cut is in the report:
`limits.reached` and a Problem each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS, Limits
from postmortem.model import LimitsReached, Problem, Reached

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS = {
    "program_headers": ("program headers", "memory that they describe is absent"),
    "notes": ("notes", "threads or other facts in them are missing"),
    "note_bytes": ("bytes of notes", "threads or other facts in them are missing"),
    "damaged_notes": ("damaged notes", "those after them are not read"),
    "threads": ("threads", "they are not in the report"),
    "mapped_files": ("rows of NT_FILE", "their mappings have no path"),
    "path_bytes": ("bytes of paths of mapped files", "the rest of the mappings have no path"),
    "modules": ("modules", "their frames have no names"),
    "file_lookups": ("look-ups of files", "modules after them have no file"),
    "frames": ("stack frames", "stacks are cut"),
    "frame_text": ("bytes of names of frames", "stacks are cut"),
    "mappings": ("mappings", "they are not listed; memory by kind counts them"),
    "list_threads": ("Java threads", "later ones are missing"),
    "read_bytes": ("bytes of one read of memory", "what was asked for is absent"),
    "events": ("events of the JVM's rings", "later ones are missing"),
    "reads": ("reads of memory", "what would have been read after them is absent"),
    "dynamic_names": ("bytes of names of dynamic symbols", "functions of modules without a file have no names"),
    "text": ("bytes of text", "strings after that are missing"),
    "dynamic_symbols": ("dynamic symbols", "functions of modules without a file have no names"),
    "search_hits": ("places that a search of memory found", "exceptions after them are missing"),
    "list_items": ("items of linked lists", "lists are cut"),
}
"""By name of the limit: of what, and what its end costs. A name that is not here reads as it is."""


class Budget:
    """Counts what a run takes. A limit that was reached stays so: nothing more of that kind is given."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._left: dict[str, int] = {}
        self._left_out: dict[str, int | None] = {}

    def left(self, kind: str) -> int:
        """How many of a kind may still be taken; `kind` is the name of a limit."""
        found = self._left.get(kind)
        if found is None:
            found = self._left[kind] = getattr(self.limits, kind)
        return found

    def take(self, kind: str, count: int = 1) -> bool:
        """Take some, all of them or none. False when there are not so many left: the limit is reached then."""
        left = self.left(kind)
        if count > left:
            self.miss(kind, count)
            return False
        self._left[kind] = left - count
        return True

    def miss(self, kind: str, count: int | None = None) -> None:
        """Note that some were left out; None where nobody can know how many."""
        before = self._left_out.get(kind, 0)
        self._left_out[kind] = None if count is None or before is None else before + count
        self._left[kind] = 0

    @property
    def reached(self) -> tuple[Reached, ...]:
        """The limits that cut something, in the order in which they did."""
        return tuple(
            Reached(name=kind, limit=getattr(self.limits, kind), left_out=count)
            for kind, count in self._left_out.items()
        )

    @property
    def limits_reached(self) -> LimitsReached:
        """As the report has it."""
        return LimitsReached(reached=self.reached)

    def problems(self) -> Iterator[Problem]:
        """One Problem for each limit that was reached."""
        for found in self.reached:
            what, cost = _WORDS.get(found.name, (found.name.replace("_", " "), "the rest is left out"))
            number = "more" if found.left_out is None else f"at least {found.left_out} more"
            yield Problem(
                stage="limits",
                where=found.name,
                what=f"the limit of {found.limit} {what} is reached, {number} are left out: {cost}",
                hint="no ordinary process has so many; see parsers/limits.py",
            )
