"""What DW_AT_producer says of the options that a file's code was compiled with.

GCC writes them there by default (-grecord-gcc-switches), clang with -grecord-command-line into DW_AT_APPLE_flags.
Only the first DIE of the first units is read. DWARF 5, 7.5.1 (headers of units), 7.5.3 (abbreviations), 7.5.5 (forms).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.dwarf.leb128 import uleb
from parsers.errors import ParseError
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Section = Callable[[str], "memoryview | None"]

_COMPILE, _PARTIAL, _SKELETON = 1, 3, 4
_PRODUCER, _STR_OFFSETS_BASE, _FLAGS = 0x25, 0x72, 0x3FE2
_STRING, _STRP, _INDIRECT, _LINE_STRP, _IMPLICIT = 0x08, 0x0E, 0x16, 0x1F, 0x21
_STRX = {0x1A: 0, 0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4}
"""Bytes of the index into .debug_str_offsets; 0: LEB128."""
_SIZES = {0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x0C: 1, 0x19: 0, 0x1E: 16, 0x29: 1, 0x2A: 2, 0x2B: 3, 0x2C: 4, 0x20: 8}
_OFFSETS = {_STRP, 0x17, 0x10, 0x1D, _LINE_STRP, 0x1F20, 0x1F21}
_LEB = {0x0D, 0x0F, 0x1B, 0x22, 0x23}
_BLOCKS = {0x0A: 1, 0x03: 2, 0x04: 4, 0x09: 0, 0x18: 0}
_OPTION = re.compile(r"(?:^|\s)-\w")


class _Unit(NamedTuple):
    """wide: of 64-bit DWARF. die: the bytes from its first DIE on."""

    version: int
    wide: bool
    address_size: int
    abbreviations: int
    die: memoryview

    @property
    def offset_size(self) -> int:
        return 8 if self.wide else 4


def flags(section: Section) -> str | None:
    """The lines of producers with options, each once, of the first units; None without.

    section: the content of a section by its name without .debug_. Damaged sections say as much as is whole.
    """
    info, abbrev = section("info"), section("abbrev")
    if info is None or abbrev is None:
        return None
    lines: dict[str, None] = {}
    try:
        for unit in _units(info):
            found = _of(unit, abbrev, section)
            if found is not None and _OPTION.search(found):
                lines[found] = None
    except (ParseError, struct.error, IndexError, ValueError):
        pass  # what came before it counts
    return "; ".join(lines) or None


def _units(info: memoryview) -> Iterator[_Unit]:
    """The first ones: an assembler's, dwz's and those of run-times that are linked in come before the program's."""
    position = 0
    for _ in range(LIMITS.forensic_units):
        if position + 12 > len(info):
            return
        (length,) = struct.unpack_from("<I", info, position)
        wide = length == 0xFFFFFFFF
        start = position + (12 if wide else 4)
        if wide:
            (length,) = struct.unpack_from("<Q", info, position + 4)
        (version,) = struct.unpack_from("<H", info, start)
        word = "<Q" if wide else "<I"
        step = struct.calcsize(word)
        if 2 <= version <= 4:
            (abbreviations,) = struct.unpack_from(word, info, start + 2)
            kind, size, head = _COMPILE, info[start + 2 + step], 3 + step
        elif version == 5:
            kind, size = info[start + 2], info[start + 3]
            (abbreviations,) = struct.unpack_from(word, info, start + 4)
            head = 4 + step + (8 if kind == _SKELETON else 0)
        else:
            return
        if kind in (_COMPILE, _PARTIAL, _SKELETON):
            end = min(start + length, start + head + LIMITS.package_note)
            yield _Unit(version, wide, size, abbreviations, info[start + head : end])
        position = start + length


def _of(unit: _Unit, abbrev: memoryview, section: Section) -> str | None:
    code, position = uleb(unit.die, 0)
    texts: dict[int, tuple[int, int]] = {}
    base = 2 * unit.offset_size  # of the first contribution, behind its header
    for name, form in _attributes(abbrev[unit.abbreviations :][: LIMITS.package_note], code):
        if form == _INDIRECT:
            form, position = uleb(unit.die, position)
        if name in (_PRODUCER, _FLAGS):
            texts[name] = form, position
        after = _after(unit, form, position)
        if name == _STR_OFFSETS_BASE:
            base = int.from_bytes(unit.die[position:after], "little")
        position = after
    found = [_text(unit, *texts[name], base, section) for name in (_PRODUCER, _FLAGS) if name in texts]
    return " ".join(text for text in found if text) or None


def _attributes(table: memoryview, wanted: int) -> list[tuple[int, int]]:
    """Names and forms of an abbreviation of the table."""
    position = 0
    while wanted:
        code, position = uleb(table, position)
        if code == 0:
            break
        _, position = uleb(table, position)
        position += 1
        found: list[tuple[int, int]] = []
        while True:
            name, position = uleb(table, position)
            form, position = uleb(table, position)
            if form == _IMPLICIT:
                _, position = uleb(table, position)
            if name == form == 0:
                break
            found.append((name, form))
        if code == wanted:
            return found
    return []


def _after(unit: _Unit, form: int, position: int) -> int:
    """Where an attribute's value ends. ValueError: of an unknown form."""
    if form in _OFFSETS:
        return position + unit.offset_size
    if form == 0x01:
        return position + unit.address_size
    if form in _SIZES:
        return position + _SIZES[form]
    if form in _LEB or _STRX.get(form) == 0:
        return uleb(unit.die, position)[1]
    if form in _STRX:
        return position + _STRX[form]
    if form in _BLOCKS:
        size = _BLOCKS[form]
        if size == 0:
            length, position = uleb(unit.die, position)
            return position + length
        return position + size + int.from_bytes(unit.die[position : position + size], "little")
    if form == _STRING:
        return position + len(_string(unit.die, position)) + 1
    if form == _IMPLICIT:
        return position
    raise ValueError(form)


def _text(unit: _Unit, form: int, position: int, base: int, section: Section) -> str | None:
    size = unit.offset_size
    if form == _STRING:
        return _string(unit.die, position).decode("utf-8", "backslashreplace")
    source = section("line_str" if form == _LINE_STRP else "str")
    if source is None:
        return None
    if form in (_STRP, _LINE_STRP):
        at = int.from_bytes(unit.die[position : position + size], "little")
    elif form in _STRX:
        width = _STRX[form]
        index = (
            int.from_bytes(unit.die[position : position + width], "little") if width else uleb(unit.die, position)[0]
        )
        offsets = section("str_offsets")
        if offsets is None:
            return None
        at = int.from_bytes(offsets[base + index * size :][:size], "little")
    else:
        return None
    return _string(source, at).decode("utf-8", "backslashreplace")


def _string(data: memoryview, position: int) -> bytes:
    """Up to its zero byte, or as much as is shown of a text."""
    return bytes(data[position : position + LIMITS.package_note]).partition(b"\0")[0]
