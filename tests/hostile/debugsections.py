"""Mutations of the debug sections of an executable: what describes its functions, variables, types and lines.

The rest of the file stays, so that it is still proved to be the one that crashed. All choices come from the
random.Random that is given.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from tests.hostile.mutate import number

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_SECTION = struct.Struct("<IIQQQQIIQQ")
_TREES = (".debug_info", ".debug_abbrev", ".debug_types")


class Section(NamedTuple):
    """name; header: offset of its Elf64_Shdr; offset, size: of its bytes."""

    name: str
    header: int
    offset: int
    size: int


def sections(data: bytes) -> list[Section]:
    """The debug sections that have bytes."""
    table, size, count, names = struct.unpack_from("<Q", data, 40)[0], *struct.unpack_from("<HHH", data, 58)
    headers = [(table + index * size, _SECTION.unpack_from(data, table + index * size)) for index in range(count)]
    start = headers[names][1][4]
    found = []
    for place, fields in headers:
        name = data[start + fields[0] :].split(b"\0", 1)[0].decode()
        if name.startswith(".debug_") and fields[5]:
            found.append(Section(name, place, fields[4], fields[5]))
    return found


def mutated(data: bytes, chance: Random) -> tuple[bytes, list[str]]:
    """The file with one to a few changes, and what was changed."""
    made = bytearray(data)
    known = sections(data)
    what = []
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        # Half of all changes in the trees of entries: the other sections hang on them.
        trees = [section for section in known if section.name in _TREES]
        section = chance.choice(trees if trees and chance.random() < 0.5 else known)
        change = chance.choice(_CHANGES)
        change(made, section, chance)
        what.append(f"{change.__name__.lstrip('_')} {section.name}")
    return bytes(made), what


def _byte(data: bytearray, section: Section, chance: Random) -> None:
    data[section.offset + chance.randrange(section.size)] = chance.randrange(256)


def _word(data: bytearray, section: Section, chance: Random) -> None:
    """A number of any size: lengths, offsets, addresses."""
    size = chance.choice((1, 2, 4, 8))
    if section.size < size:
        return
    place = section.offset + chance.randrange(section.size - size + 1)
    old = int.from_bytes(data[place : place + size], "little")
    data[place : place + size] = number(chance, old, size)[:size]


def _reference(data: bytearray, section: Section, chance: Random) -> None:
    """An offset within the section where another stood: types that contain themselves, entries within others."""
    if section.size < 8:
        return
    place = section.offset + chance.randrange(section.size - 4)
    struct.pack_into("<I", data, place, chance.randrange(section.size))


def _endless(data: bytearray, section: Section, chance: Random) -> None:
    """A number in LEB128 that does not end."""
    length = min(section.size, chance.choice((4, 10, 64, 4096)))
    place = section.offset + chance.randrange(section.size - length + 1)
    data[place : place + length] = b"\xff" * length


def _zeros(data: bytearray, section: Section, chance: Random) -> None:
    length = min(section.size, chance.choice((1, 4, 32, 1024)))
    place = section.offset + chance.randrange(section.size - length + 1)
    data[place : place + length] = bytes(length)


def _repeated(data: bytearray, section: Section, chance: Random) -> None:
    """A stretch over another one."""
    length = min(section.size, chance.choice((8, 64, 512)))
    source, target = (section.offset + chance.randrange(section.size - length + 1) for _ in range(2))
    data[target : target + length] = data[source : source + length]


def _header(data: bytearray, section: Section, chance: Random) -> None:
    """A field of the section's header: type, flags (compressed or not), offset or size."""
    at, size = chance.choice(((4, 4), (8, 8), (24, 8), (32, 8)))
    place = section.header + at
    old = int.from_bytes(data[place : place + size], "little")
    data[place : place + size] = number(chance, old, size)[:size]


_CHANGES: tuple[Callable[[bytearray, Section, Random], None], ...] = (
    _byte, _word, _word, _reference, _reference, _endless, _zeros, _repeated, _header,
)  # fmt: skip
