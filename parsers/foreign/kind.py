"""What a recognizer says of a file."""

from __future__ import annotations

from typing import NamedTuple


class Foreign(NamedTuple):
    """what: the kind of file, as a noun. instead: what to give, or which tool reads it. text: its lines are text of
    others, between which a HotSpot log may stand."""

    what: str
    instead: str
    text: bool = False
