"""Turns of a deep recursion that a walk need not keep: the frames around them tell what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.unwind.frame import LeftOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.unwind.frame import Walk

_LONGEST_PERIOD = 40
_LEAST = 256
"""Frames whose removal is worth a report that says so."""


def without_turns(walk: Walk) -> Walk:
    """The walk with whole turns of one recursion cut out of its middle, and how many frames that are.

    Cut is only what repeats, pc by pc, what stands before it; LIMITS.recursion_frames stay at either end.
    """
    frames = walk.frames
    keep, size = LIMITS.recursion_frames, len(frames)
    if size < 2 * keep + _LEAST:
        return walk
    keys = [(frame.pc, frame.virtual) for frame in frames]
    found = (_repeated(keys, at, keep) for at in (size // 2, size // 4, 3 * size // 4))
    left_out = next((candidate for candidate in found if candidate is not None), None)
    if left_out is None:
        return walk
    start, cut = left_out.position, left_out.period * left_out.turns
    if any(start <= signal.position < start + cut for signal in walk.signal_frames):
        return walk
    moved = [
        signal if signal.position < start else signal._replace(position=signal.position - cut)
        for signal in walk.signal_frames
    ]
    return walk._replace(frames=[*frames[:start], *frames[start + cut :]], signal_frames=moved, left_out=left_out)


def _repeated(keys: Sequence[object], at: int, keep: int) -> LeftOut | None:
    """The turns of a recursion around an index that may be left out, with `keep` frames kept at either end."""
    probe = keys[at : at + 2 * _LONGEST_PERIOD]
    period = next(
        (back for back in range(1, _LONGEST_PERIOD + 1) if keys[at - back : at - back + len(probe)] == probe), 0
    )
    if not period:
        return None
    start = max(keep, _first_like(keys, at, period))
    turns = (min(len(keys) - keep, _end_of_like(keys, at, period)) - start) // period
    return LeftOut(start, period, turns) if turns * period >= _LEAST else None


def _first_like(keys: Sequence[object], middle: int, period: int) -> int:
    """The first index from which on, up to the middle, each is like the one a turn behind it."""
    return next((index + 1 for index in range(middle - 1, -1, -1) if keys[index] != keys[index + period]), 0)


def _end_of_like(keys: Sequence[object], middle: int, period: int) -> int:
    """The index behind the last that is like the one a turn before it."""
    return next((index for index in range(middle, len(keys)) if keys[index] != keys[index - period]), len(keys))
