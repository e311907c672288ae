"""The index of a .dwp file, which packs split DWARF: where a unit's parts lie in each of its sections.

Little-endian: version u32 (2: GNU, DWARF 4; 5: u16, then u16 padding), sections u32, units u32, slots u32; slots
signatures u64; slots rows u32, from 1, 0 for none; a header row of section numbers u32; a row of offsets u32 for each
unit; a row of sizes u32 for each. Source: DWARF 5 section 7.3.5.3; https://gcc.gnu.org/wiki/DebugFissionDWP.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.errors import ParseError
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from parsers.elf.header import Buffer

_HEAD = struct.Struct("<IIII")
_NAMES = {
    2: {1: "info", 2: "types", 3: "abbrev", 4: "line", 5: "loc", 6: "str_offsets", 7: "macinfo", 8: "macro"},
    5: {1: "info", 3: "abbrev", 4: "line", 5: "loclists", 6: "str_offsets", 7: "macro", 8: "rnglists"},
}


class Part(NamedTuple):
    """Bytes [offset, offset + size) of a section."""

    offset: int
    size: int


def parts(index: Buffer, signature: int) -> dict[str, Part] | None:
    """Of the unit with this id, by section (info, abbrev, …); None when it is not in the package.

    index: the content of .debug_cu_index. Raises ParseError for one that is damaged or of another version.
    """
    data = bytes(index[:])
    if len(data) < _HEAD.size:
        raise ParseError(".debug_cu_index", 0, f"{len(data)} bytes, its header takes {_HEAD.size}")
    version, columns, units, slots = _HEAD.unpack_from(data)
    version = version if version == 2 else version & 0xFFFF
    if version not in _NAMES:
        raise ParseError(".debug_cu_index", 0, f"has version {version}, known are 2 and 5")
    # More slots than units could fill, or sections than there are kinds, would only take time and memory.
    if slots > 2 * LIMITS.units or columns > LIMITS.dwp_columns:
        raise ParseError(".debug_cu_index", 4, f"{columns} columns and {slots} slots are more than a package has")
    rows = _HEAD.size + 12 * slots
    if slots & (slots - 1) or rows + 4 * columns * (2 * units + 1) > len(data):
        raise ParseError(".debug_cu_index", 4, f"{columns} columns, {units} units and {slots} slots do not fit")
    row = _row(data, signature, slots)
    if row is None:
        return None
    if row > units:
        raise ParseError(".debug_cu_index", 0, f"names row {row} of {units}")
    numbers = struct.unpack_from(f"<{columns}I", data, rows)
    offsets = struct.unpack_from(f"<{columns}I", data, rows + 4 * columns * row)
    sizes = struct.unpack_from(f"<{columns}I", data, rows + 4 * columns * (units + row))
    known = _NAMES[version]
    return {
        known[number]: Part(offset, size)
        for number, offset, size in zip(numbers, offsets, sizes, strict=True)
        if number in known
    }


def _row(data: bytes, signature: int, slots: int) -> int | None:
    """The row of a signature, by open addressing with the upper half of the signature as the step."""
    mask = slots - 1
    slot, step = signature & mask, signature >> 32 & mask | 1
    for _ in range(slots):
        row: int = struct.unpack_from("<I", data, _HEAD.size + 8 * slots + 4 * slot)[0]
        if row == 0:
            return None
        if struct.unpack_from("<Q", data, _HEAD.size + 8 * slot)[0] == signature:
            return row
        slot = slot + step & mask
    return None
