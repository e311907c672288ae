"""Recursion: runs of frames that repeat."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from postmortem.model import Cycle, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence


_LONGEST_PERIOD = 40

_LEAST_FOLDED = 10


def cycles(frames: Sequence[Frame]) -> tuple[Cycle, ...]:
    """Recursion: runs of frames that repeat with a period of at most 40, three times or more.

    The smallest period that explains a run wins; runs do not overlap and come in order.
    """
    if len(frames) < _LEAST_FOLDED:
        return ()
    # Threads of a pool have equal stacks.
    return _cycles(tuple([frame.pc for frame in frames]), tuple([frame.function for frame in frames]))


@functools.lru_cache(maxsize=1024)
def _cycles(pcs: tuple[int | None, ...], functions: tuple[str | None, ...]) -> tuple[Cycle, ...]:
    numbers: dict[tuple[int | None, str | None], int] = {}
    # Frames without a name are equal only at an equal pc: one without either is like no other.
    pairs = (
        (-index if pc is None and function is None else pc, function)
        for index, (pc, function) in enumerate(zip(pcs, functions, strict=True), 1)
    )
    keys = [numbers.setdefault(pair, len(numbers)) for pair in pairs]
    if len(numbers) > len(keys) - _LEAST_FOLDED // 2:
        return ()
    found: list[Cycle] = []
    for period in range(1, min(_LONGEST_PERIOD, len(keys) // 3) + 1):
        start = None
        matches = [left == right for left, right in zip(keys, keys[period:], strict=False)]
        matches.append(False)
        for index, same in enumerate(matches):
            if same:
                start = index if start is None else start
            elif start is not None:
                count = (index - start + period) // period
                if count >= 3 and count * period >= _LEAST_FOLDED:
                    found.append(Cycle(start=start, period=period, count=count))
                start = None
    found.sort(key=lambda cycle: (-cycle.period * cycle.count, cycle.period))
    kept: list[Cycle] = []
    for cycle in found:
        begin, end = cycle.start, cycle.start + cycle.period * cycle.count
        if all(end <= other.start or begin >= other.start + other.period * other.count for other in kept):
            kept.append(cycle)
        if len(kept) >= 16:
            break
    return tuple(sorted(kept, key=lambda cycle: cycle.start))
