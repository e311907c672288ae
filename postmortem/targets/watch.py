"""Who is told what takes long, and who brings what is not here yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


def _unsaid(words: str) -> None:
    """Nobody listens."""


def _unseen(done: int, total: int) -> None:
    """Nobody looks."""


class Watch(NamedTuple):
    """notice: told in words what begins. progress: told how many bytes of how many are behind.

    supply: where the input is a remote one, of which only a part is here: asked to bring `size` bytes from `offset`
    before they are read; 0, or the errno of why they can't be had.
    """

    notice: Callable[[str], None] = _unsaid
    progress: Callable[[int, int], None] = _unseen
    supply: Callable[[int, int], int] | None = None
