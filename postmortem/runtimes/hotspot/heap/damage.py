"""An object of the Java heap whose header is damaged, and the primitive array that ends where it begins.

Java code can't write behind an array; native code that has its address can: JNI's GetPrimitiveArrayCritical, Unsafe.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from postmortem.runtimes.hotspot.layout.oops import Oops

_SIZES = {"[Z": 1, "[B": 1, "[C": 2, "[S": 2, "[I": 4, "[F": 4, "[J": 8, "[D": 8}
_NAMES = {"[Z": "boolean", "[B": "byte", "[C": "char", "[S": "short", "[I": "int", "[F": "float", "[J": "long",
          "[D": "double"}  # fmt: skip
_HEADER = 16
"""Bytes of an object that are shown: its header of whatever shape, and what follows."""


class Below(NamedTuple):
    """The array below an object. kind: "int[62]"."""

    address: int
    kind: str
    element: int


def header(oops: Oops, address: int) -> str | None:
    """ "its first 16 bytes are 0x11223344 …; right before it ends int[62] @0xfc086bd8"; None where no such array is."""
    below = array_below(oops, address)
    data = oops.vm.read(address, _HEADER)
    if below is None or data is None:
        return None
    width = max(below.element, 4)
    words = " ".join(f"{int.from_bytes(data[at : at + width], 'little'):#x}" for at in range(0, _HEADER, width))
    return f"its first {_HEADER} bytes are {words}; right before it ends {below.kind} @{below.address:#x}"


def array_below(oops: Oops, address: int) -> Below | None:
    """The primitive array whose last element is followed by `address`; the nearest, if several look like one."""
    alignment, length_at = oops.alignment, oops.length_offset
    budget = oops.vm.memory.budget
    if address % alignment or not budget.left("object_neighbours"):
        return None
    budget.take("object_neighbours")
    most = min(LIMITS.object_neighbour, address)
    data = oops.vm.read(address - most, most)
    while data is None and most > 1 << 12:  # what lies before the heap is not there
        most >>= 1
        data = oops.vm.read(address - most, most)
    if data is None:
        return None
    for distance in range(alignment, most + 1, alignment):
        at = most - distance + length_at
        if at + 4 > most:
            continue
        (length,) = struct.unpack_from("<I", data, at)
        # Most words are no length that fits: a class is looked for behind few.
        if length and not any(0 <= distance - (length_at + 4 + length * size) < alignment + 8 for size in (1, 2, 4, 8)):
            continue
        start = address - distance
        klass = oops.klass(start)
        name = oops.klass_name(klass)
        size = _SIZES.get(name or "")
        helper = oops.layout_helper(klass) if klass and size else None
        if size is None or name is None or helper is None or helper >= 0:
            continue
        end = (helper >> 16 & 0xFF) + length * size
        if length and -(-end // alignment) * alignment == distance:
            return Below(start, f"{_NAMES[name]}[{length}]", size)
    return None
