"""Units whose debug information -gsplit-dwarf put into files of their own (.dwo), or into a package of them (.dwp).

The program keeps a skeleton of each unit: its id, where its addresses and ranges begin, the name of the file. What was
split off has no such bases, and in the GNU form of DWARF 4 forms, location lists and operations of its own; it is put
here so that it reads like a unit that was never split. Sources: DWARF 5 sections 3.1.3 and 7.3;
https://gcc.gnu.org/wiki/DebugFission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from elftools.dwarf.die import DIE, AttributeValue

from parsers.dwarf.dwp import parts
from parsers.elf.sections import SHF_COMPRESSED, section_bytes
from parsers.errors import ParseError
from parsers.limits import LIMITS
from postmortem.symbols.damage import DAMAGE
from postmortem.values.units import Units, leb128

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from elftools.dwarf.compileunit import CompileUnit

    from parsers.dwarf.dwp import Part
    from postmortem.symbols.elffile import ElfFile
    from postmortem.values.deadline import Deadline

_OF_THE_PROGRAM = {"addr": "addr", "ranges": "ranges"}
"""Sections of the program that split units refer to."""
_GNU_FORMS = {0x1F01: 0x1B, 0x1F02: 0x1A}
"""DW_FORM_GNU_addr_index and _str_index, as DW_FORM_addrx and _strx."""
_STR_OFFSETS_HEADER, _LISTS_HEADER = 8, 12
"""Bytes of the headers that a base comes after (DWARF 5 sections 7.26 and 7.28, 32-bit format)."""


class Skeleton(NamedTuple):
    """What the program keeps of a unit. ranges: what offsets into .debug_ranges are counted from."""

    identity: int
    name: str
    folder: str
    low: int
    addresses: int
    ranges: int


def skeleton(unit: CompileUnit) -> Skeleton | None:
    """Of a unit that was split; None of a whole one."""
    attributes = unit.get_top_DIE().attributes
    name = attributes.get("DW_AT_dwo_name") or attributes.get("DW_AT_GNU_dwo_name")
    if name is None or not isinstance(name.value, bytes):
        return None

    def number(*names: str) -> int:
        found = next((attributes[one].value for one in names if one in attributes), 0)
        return found if isinstance(found, int) else 0

    folder = attributes.get("DW_AT_comp_dir")
    header = unit.header
    return Skeleton(
        int(header["dwo_id"]) if "dwo_id" in header else number("DW_AT_GNU_dwo_id"),
        name.value[: LIMITS.string].decode("utf-8", "surrogateescape"),
        folder.value[: LIMITS.string].decode("utf-8", "surrogateescape")
        if folder is not None and isinstance(folder.value, bytes)
        else "",
        number("DW_AT_low_pc"),
        number("DW_AT_addr_base", "DW_AT_GNU_addr_base"),
        number("DW_AT_GNU_ranges_base"),
    )


def split_unit(
    wanted: Skeleton, files: Iterable[ElfFile], program: Callable[[str], bytes | None], deadline: Deadline
) -> tuple[Units, CompileUnit] | str:
    """The unit that a skeleton stands for, in one of the files, or why there is none. program: its sections."""
    why = f"its debug info is split off into {wanted.name}, which is not there"
    for file in files:
        deadline.check()
        try:
            found = _in_file(wanted, file, program, deadline)
        except DAMAGE as damage:
            why = f"{file.path.name}, which holds its debug info, can't be read: {damage}"[:200]
            continue
        if found is not None:
            return found
        if file.path.suffix == ".dwo":
            why = f"its debug info is split off into {wanted.name}, and the one that is there is of another build"
    return why


def _in_file(
    wanted: Skeleton, file: ElfFile, program: Callable[[str], bytes | None], deadline: Deadline
) -> tuple[Units, CompileUnit] | None:
    index = _section(file, "cu_index", None, "")
    packed = None if index is None else parts(index, wanted.identity)
    if index is not None and packed is None:
        return None
    if file.sections.find(b".debug_info.dwo") is None:
        raise ParseError(".debug_info.dwo", 0, "is not in the file")

    def content(name: str) -> bytes | None:
        if name in _OF_THE_PROGRAM:
            return program(name)
        part = None
        if packed is not None and name not in ("str", "line_str"):
            part = packed.get(name)
            if part is None:
                return None
        data = _section(file, name, part, ".dwo")
        return _plain_forms(data) if data is not None and name == "abbrev" else data

    units = Units(content, deadline)
    for unit in units.compile_units():
        deadline.check()
        identity = unit.header.get("dwo_id")
        if identity is None or identity == wanted.identity:
            _complete(unit, wanted)
            if identity is None:
                known = unit.get_top_DIE().attributes.get("DW_AT_GNU_dwo_id")
                if known is None or known.value != wanted.identity:
                    continue
            units.split_ranges = wanted.ranges
            return units, unit
    return None


def _section(file: ElfFile, name: str, part: Part | None, suffix: str) -> bytes | None:
    header = file.sections.find(f".debug_{name}{suffix}".encode())
    if header is None:
        return None
    if part is None or header.flags & SHF_COMPRESSED:
        data = section_bytes(file.content, header, LIMITS.debug_section_bytes)
        return data if part is None else data[part.offset : part.offset + part.size]
    start = header.offset + min(part.offset, header.size)
    return bytes(file.content[start : start + min(part.size, header.size - min(part.offset, header.size))])


def _complete(unit: CompileUnit, wanted: Skeleton) -> None:
    """Give a unit the bases that the skeleton has, or that follow from there being one unit in each section."""
    stream = unit.dwarfinfo.debug_info_sec
    assert stream is not None
    top = DIE(cu=unit, stream=stream.stream, offset=unit.cu_die_offset)
    five = unit.header["version"] >= 5
    bases = {
        "DW_AT_addr_base": wanted.addresses,
        "DW_AT_str_offsets_base": _STR_OFFSETS_HEADER if five else 0,
        "DW_AT_loclists_base": _LISTS_HEADER,
        "DW_AT_rnglists_base": _LISTS_HEADER,
        "DW_AT_low_pc": wanted.low,
    }
    for name, value in bases.items():
        form = "DW_FORM_addr" if name == "DW_AT_low_pc" else "DW_FORM_sec_offset"
        top.attributes.setdefault(name, AttributeValue(name, form, value, value, top.offset, 0))
    # The library translates indices of the first DIE when it makes it, and would miss the bases.
    unit._dielist.insert(0, top)
    unit._diemap.insert(0, unit.cu_die_offset)
    top._translate_indirect_attributes()


def _plain_forms(abbreviations: bytes) -> bytes:
    """.debug_abbrev with the GNU forms written as those of DWARF 5 that mean the same; no byte moves."""
    data = bytearray(abbreviations)
    position, end = 0, len(abbreviations)
    while position < end:
        code, position = leb128(abbreviations, position)
        if code == 0:
            continue
        _, position = leb128(abbreviations, position)  # the tag
        position += 1  # whether it has children
        while position < end:
            name, position = leb128(abbreviations, position)
            start = position
            form, position = leb128(abbreviations, position)
            plain = _GNU_FORMS.get(form)
            if plain is not None and position - start == 2:
                data[start : start + 2] = bytes((plain | 0x80, 0))
            if form == 0x21:  # DW_FORM_implicit_const: a signed number follows, whose end is found alike
                _, position = leb128(abbreviations, position)
            if not name and not form:
                break
    return bytes(data)


def split_locations(data: bytes, offset: int, address_of: Callable[[int], int]) -> list[tuple[int, int, bytes, bool]]:
    """(start, end, expression, absolute) of a list in .debug_loc.dwo of DWARF 4; not absolute: from the base on."""
    found: list[tuple[int, int, bytes, bool]] = []
    while len(found) < LIMITS.die_ranges:
        kind = data[offset]
        offset += 1
        if kind == 0:
            break
        if kind == 1:  # a base address, which follows as an index
            _, offset = leb128(data, offset)
            continue
        if kind == 4:
            start, end = (int.from_bytes(data[offset + at : offset + at + 4], "little") for at in (0, 4))
            offset += 8
        else:
            number, offset = leb128(data, offset)
            start = address_of(number)
            if kind == 2:
                number, offset = leb128(data, offset)
                end = address_of(number)
            elif kind == 3:
                end = start + int.from_bytes(data[offset : offset + 4], "little")
                offset += 4
            else:
                break
        size = int.from_bytes(data[offset : offset + 2], "little")
        found.append((start, end, data[offset + 2 : offset + 2 + size], kind != 4))
        offset += 2 + size
    return found
