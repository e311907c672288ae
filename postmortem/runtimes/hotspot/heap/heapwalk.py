"""The inner loop of the heap walk, written for numba: plain loops over arrays of 64-bit words.

Imported by histogram.py alone, since numba takes its time to load. Raises ImportError without numba.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

# Not a plain import: numba is optional and without type information.
_numba: Any = importlib.import_module("numba")

# What stopped the loop.
DONE = 0
NEEDS_DATA = 1
UNKNOWN_CLASS = 2
DAMAGED = 3
DISPLACED = 4

# Class shapes.
INSTANCE = 0
ARRAY = 1
MIRROR = 2
STACK_CHUNK = 3

# Where the class pointer is.
WIDE = 0
NARROW = 1
COMPACT = 2

_CHAIN = 4


def _compiled(function: Any) -> Any:
    """Machine code of a function, kept on disk where there is a directory for it."""
    try:
        return _numba.njit(cache=True)(function)
    except RuntimeError:
        return _numba.njit(function)


@_compiled
def _find(keys: Any, values: Any, klass: Any) -> Any:
    """The class number of a Klass*, -1 for one not known; keys: open addressing, 0 is empty."""
    mask = len(keys) - 1
    slot = ((klass >> 3) ^ (klass >> 17)) & mask
    while True:
        key = keys[slot]
        if key == 0:
            return -1
        if key == klass:
            return values[slot]
        slot = (slot + 1) & mask


@_compiled
def walk(
    words: Any, halves: Any, origin: Any, start: Any, top: Any, gap_starts: Any, gap_ends: Any, keys: Any, values: Any,
    shapes: Any, headers: Any, shifts: Any, instances: Any, sizes: Any, layout: Any, skipped: Any,
) -> Any:  # fmt: skip
    """Count objects in [start, top) of which [origin, origin + 8 * len(words)) is here: (status, position, value).

    layout: mode, class base, class shift, mark shift, alignment, length offset, offset of a mirror's
    size, of a chunk's size, shift of its bitmap, single object (2: and never zeros), marks stay in place.
    skipped[0] grows by the bytes of gaps. Long: numba compiles it as one loop.
    """
    mode, base, klass_shift, mark_shift, alignment = layout[0], layout[1], layout[2], layout[3], layout[4]
    length_at, mirror_at, chunk_at, chunk_shift, single = layout[5], layout[6], layout[7], layout[8], layout[9]
    klass_mask = (1 << (64 - mark_shift)) - 1 if mark_shift > 0 else 0
    count = len(words)
    half_count = len(halves)
    gaps = len(gap_starts)
    gap = np.searchsorted(gap_starts, start)
    position = start
    while position < top:
        while gap < gaps and gap_starts[gap] < position:
            gap += 1
        if gap < gaps and gap_starts[gap] == position:
            end = min(max(gap_ends[gap], position), top)
            skipped[0] += end - position
            position = end
            gap += 1
            continue
        index = (position - origin) >> 3
        if index < 0 or index >= count or (mode != COMPACT and index + 1 >= count):
            return NEEDS_DATA, position, 0
        mark = words[index]
        if mode == COMPACT:
            if mark & 3 == 2 and layout[10] == 0:
                return DISPLACED, position, mark
            narrow = (mark >> mark_shift) & klass_mask
            if mark & 3 == 3:
                return DAMAGED, position, 0
        elif mode == NARROW:
            narrow = np.int64(halves[2 * index + 2])
        else:
            narrow = words[index + 1]
        if narrow == 0:
            if mark != 0 or single == 2:
                # Of zeros there may be much, and each candidate of resync would go through all of them.
                return DAMAGED, position, 0
            # Memory never allocated: on to the first word that isn't zero.
            begin = position
            until = min(top, gap_starts[gap]) if gap < gaps else top
            while position < until and index < count and words[index] == 0:
                index += 1
                position += 8
            skipped[0] += position - begin
            continue
        klass = narrow if mode == WIDE else base + (narrow << klass_shift)
        number = _find(keys, values, klass)
        if number < 0:
            return UNKNOWN_CLASS, position, klass
        shape = shapes[number]
        size = headers[number]
        if shape != INSTANCE:
            at = length_at if shape == ARRAY else mirror_at if shape == MIRROR else chunk_at
            half = 2 * index + (at >> 2)
            if half < 0:
                return DAMAGED, position, klass
            if half >= half_count:
                return NEEDS_DATA, position, 0
            length = np.int64(halves[half])
            if shape == ARRAY:
                size += length << shifts[number]
            elif shape == MIRROR:
                size = length << 3
            else:
                size += 8 * length + 8 * (((length << chunk_shift) + 63) >> 6)
        size = (size + alignment - 1) & ~(alignment - 1)
        if size < 8 or (position + size > top and single == 0):
            return DAMAGED, position, klass
        instances[number] += 1
        sizes[number] += size
        position += size
        if single != 0:
            return DONE, position, 0
    return DONE, position, 0


@_compiled
def resync(
    words: Any, halves: Any, origin: Any, start: Any, top: Any, gap_starts: Any, gap_ends: Any, keys: Any, values: Any,
    shapes: Any, headers: Any, shifts: Any, instances: Any, sizes: Any, layout: Any, skipped: Any,
) -> Any:  # fmt: skip
    """The first position from `start` on where a few objects of known classes follow; else the data's end.

    Arguments as of walk, with the layout's single 2; instances, sizes and skipped are scratch. A
    candidate must have an unlocked mark.
    """
    end = min(top, origin + 8 * len(words))
    position = start
    while position < end:
        mark = words[(position - origin) >> 3]
        if mark & 3 == 1:
            here = position
            good = 0
            while good < _CHAIN and here < end:
                status, here, _ = walk(
                    words, halves, origin, here, top, gap_starts, gap_ends, keys, values, shapes, headers,
                    shifts, instances, sizes, layout, skipped,
                )  # fmt: skip
                if status != DONE or here > top:
                    break
                good += 1
            if good == _CHAIN or (good > 0 and here == top):
                return position
        position += layout[4]
    return end
