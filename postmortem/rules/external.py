"""Rules that other distributions bring, by the entry point group `postmortem.rules`.

    [project.entry-points."postmortem.rules"]
    our-allocator = "our_rules.allocator:RULE"

Each names a `postmortem.Rule`. One that can't be loaded costs itself only, and is a Problem of the report.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from postmortem.model import Problem
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Collection

GROUP = "postmortem.rules"


@functools.cache
def load(taken: frozenset[str]) -> tuple[tuple[Rule, ...], tuple[Problem, ...]]:
    """The rules, and what is wrong with those that are not among them. taken: ids that are not theirs to use."""
    if not _announced(sys.path):
        return (), ()
    # Some 30 ms, so only for those who have such rules.
    from importlib.metadata import entry_points

    rules: list[Rule] = []
    problems: list[Problem] = []
    for point in entry_points(group=GROUP):
        try:
            rule = point.load()
        # Any exception: what runs here is not ours.
        except Exception as error:
            problems.append(_problem(point.name, f"{point.value} can't be loaded: {type(error).__name__}"))
            continue
        if not isinstance(rule, Rule):
            problems.append(_problem(point.name, f"{point.value} is no postmortem.Rule"))
        elif rule.id in taken or any(rule.id == other.id for other in rules):
            problems.append(_problem(point.name, f"its id {rule.id!r} is taken"))
        else:
            rules.append(rule)
    return tuple(rules), tuple(problems)


def _announced(path: Collection[str]) -> bool:
    """Whether any distribution on the path has such an entry point."""
    heading = f"[{GROUP}]".encode()
    for directory in path:
        for file in Path(directory or ".").glob("*.dist-info/entry_points.txt"):
            try:
                if heading in file.read_bytes():
                    return True
            except OSError:
                continue  # Not ours to read, so not ours to load.
    return False


def _problem(name: str, what: str) -> Problem:
    return Problem(stage="rules", where=f"entry point {name}", what=what, hint="its findings are missing")
