"""One writer's lines out of several that wrote between one another: containers of a service that crash alike."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from parsers.hs_err.text import anchors
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.hs_err.text.anchors import Hit
    from parsers.hs_err.text.order import Row

TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_LONGEST = LIMITS.streams_prefix
_MOST_WRITERS = LIMITS.streams_writers


def first_writer(rows: list[Row], found: Sequence[Hit]) -> tuple[list[Row], str | None]:
    """The rows without those of other writers, and who these are.

    A word of the prefix names the writer when each of its values stands before a head of its own and the lines change
    between the values more often than once: the numbers of a clock differ, too, but have no head each.
    """
    heads = [_before(rows, hit) for hit in found if hit.word in anchors.HEADS and hit.column]
    if len(heads) < 2 or len({len(tokens) for tokens in heads}) > 1:
        return rows, None
    told = [tokens for tokens in (_before(rows, hit) for hit in found) if len(tokens) == len(heads[0])]
    for position, own in enumerate(heads[0]):
        named = {tokens[position] for tokens in heads}
        values = [tokens[position] for tokens in told]
        changes = sum(one != other for one, other in pairwise(values))
        if 1 < len(named) <= _MOST_WRITERS and set(values) == named and changes >= len(named):
            others = named - {own}
            kept = [row for row in rows if _token(row[1], position) not in others]
            return kept, f"lines of {len(others)} other JVMs ({', '.join(sorted(others))})"
    return rows, None


def _before(rows: Sequence[Row], hit: Hit) -> list[str]:
    """The words of a line's prefix."""
    return TOKEN.findall(rows[hit.line][1][: min(hit.column, _LONGEST)].rstrip())


def _token(text: str, position: int) -> str | None:
    tokens = TOKEN.findall(text[:_LONGEST])
    return tokens[position] if position < len(tokens) else None
