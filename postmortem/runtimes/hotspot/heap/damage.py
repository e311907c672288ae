"""An object of the Java heap whose header is damaged, and the primitive array that ends where it begins.

Java code can't write behind an array; native code that has its address can: JNI's GetPrimitiveArrayCritical, Unsafe.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.model import Address
from postmortem.model.jvm import DamagedObject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from postmortem.runtimes.hotspot.layout.oops import Oops

_SIZES = {"[Z": 1, "[B": 1, "[C": 2, "[S": 2, "[I": 4, "[F": 4, "[J": 8, "[D": 8}
_NAMES = {"[Z": "boolean", "[B": "byte", "[C": "char", "[S": "short", "[I": "int", "[F": "float", "[J": "long",
          "[D": "double"}  # fmt: skip
HEADER = 16
"""Bytes of an object that are shown: its header of whatever shape, and what follows."""


class Below(NamedTuple):
    """The array below an object. kind: "int[62]"."""

    address: int
    kind: str
    element: int


class Header(NamedTuple):
    """words: the first bytes of the object, as numbers of the array's elements; below: the array; marked: its first
    word is a collector's mark (markWord::marked_value)."""

    words: str
    below: Below
    marked: bool


def overwritten(oops: Oops, address: int) -> Header | None:
    """What is where an object of no class is said to be, if a primitive array ends there."""
    data = oops.vm.read(address, HEADER)
    if data is None or _is_mark(int.from_bytes(data[:8], "little")):
        return None
    below = array_below(oops, address)
    if below is None:
        return None
    width = max(below.element, 4)
    words = " ".join(f"{int.from_bytes(data[at : at + width], 'little'):#x}" for at in range(0, HEADER, width))
    return Header(words, below, int.from_bytes(data[:8], "little") == _MARKED)


def _is_mark(word: int) -> bool:
    """The header begins as one of an object that nobody has locked (markWord.hpp): a write that came from what lies
    before it would have gone over that first."""
    return word & 3 == _UNLOCKED and word >> _HASH_END == 0


_UNLOCKED, _MARKED, _HASH_END = 1, 3, 39


def header(oops: Oops, address: int) -> str | None:
    """ "its first 16 bytes are 0x11223344 …; right before it ends int[62] @0xfc086bd8"; None where no such array is."""
    found = overwritten(oops, address)
    if found is None:
        return None
    below = found.below
    return f"its first {HEADER} bytes are {found.words}; right before it ends {below.kind} @{below.address:#x}"


def in_registers(
    oops: Oops, registers: Mapping[str, int], ranges: Sequence[tuple[int, int]]
) -> tuple[DamagedObject, ...]:
    """Of the objects that registers lead to in the heap those whose header was overwritten. ranges: the heap's."""
    found = []
    for name, value in registers.items():
        if not any(start < value < end for start, end in ranges) or value % oops.alignment:
            continue
        if oops.external_name(oops.klass(value)) is not None:
            continue
        there = overwritten(oops, value)
        if there is not None:
            text = f"{there.below.kind} @{there.below.address:#x}"
            made = DamagedObject(
                register=name, address=Address(value), words=there.words, after=text, marked=there.marked
            )
            found.append(made)
    return tuple(found)


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
