"""Who is told what takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


def _unsaid(words: str) -> None:
    """Nobody listens."""


def _unseen(done: int, total: int) -> None:
    """Nobody looks."""


class Watch(NamedTuple):
    """notice: told in words what begins. progress: told how many bytes of how many are behind."""

    notice: Callable[[str], None] = _unsaid
    progress: Callable[[int, int], None] = _unseen
