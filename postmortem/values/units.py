"""The units of one file's DWARF: which holds an address, which functions they have, DIEs by their offset.

pyelftools decodes headers, abbreviations, DIEs and lists. Finding a function among the DIEs of a unit is done here by
skipping over them, since decoding each takes some fifty times as long.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

from elftools.common.exceptions import DWARFError
from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo
from elftools.dwarf.ranges import RangeEntry

from parsers.limits import LIMITS
from postmortem.symbols.damage import DAMAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.die import DIE
    from elftools.dwarf.typeunit import TypeUnit

    from parsers.elf.header import Buffer
    from postmortem.values.deadline import Deadline

_NAMES = (
    "info", "aranges", "abbrev", "str", "loc", "ranges", "addr", "str_offsets", "line_str", "loclists", "rnglists",
    "types",
)  # fmt: skip
_ARANGE = struct.Struct("<QQ")
_CONTAINERS = {"DW_TAG_namespace", "DW_TAG_structure_type", "DW_TAG_class_type", "DW_TAG_union_type",
               "DW_TAG_enumeration_type", "DW_TAG_module"}  # fmt: skip
_NOT_DESCENDED = _CONTAINERS - {"DW_TAG_namespace", "DW_TAG_module"}
_RUST = 0x1C
_FIXED_FORMS = {
    "DW_FORM_addr": 8, "DW_FORM_data1": 1, "DW_FORM_data2": 2, "DW_FORM_data4": 4, "DW_FORM_data8": 8,
    "DW_FORM_data16": 16, "DW_FORM_ref1": 1, "DW_FORM_ref2": 2, "DW_FORM_ref4": 4, "DW_FORM_ref8": 8,
    "DW_FORM_flag": 1, "DW_FORM_flag_present": 0, "DW_FORM_implicit_const": 0, "DW_FORM_ref_sig8": 8,
    "DW_FORM_strx1": 1, "DW_FORM_strx2": 2, "DW_FORM_strx3": 3, "DW_FORM_strx4": 4, "DW_FORM_addrx1": 1,
    "DW_FORM_addrx2": 2, "DW_FORM_addrx3": 3, "DW_FORM_addrx4": 4, "DW_FORM_ref_sup4": 4, "DW_FORM_ref_sup8": 8,
}  # fmt: skip
_OFFSET_FORMS = {"DW_FORM_strp", "DW_FORM_line_strp", "DW_FORM_sec_offset", "DW_FORM_ref_addr", "DW_FORM_strp_sup",
                 "DW_FORM_GNU_ref_alt", "DW_FORM_GNU_strp_alt"}  # fmt: skip
_LEB_FORMS = {"DW_FORM_udata", "DW_FORM_sdata", "DW_FORM_ref_udata", "DW_FORM_strx", "DW_FORM_addrx",
              "DW_FORM_loclistx", "DW_FORM_rnglistx", "DW_FORM_GNU_addr_index", "DW_FORM_GNU_str_index"}  # fmt: skip
_BLOCK_FORMS = {"DW_FORM_block1": 1, "DW_FORM_block2": 2, "DW_FORM_block4": 4}
_WANTED = {"DW_AT_sibling", "DW_AT_low_pc", "DW_AT_high_pc", "DW_AT_ranges"}


class Function(NamedTuple):
    """[low, high) of a function whose DIE is at `offset`."""

    low: int
    high: int
    offset: int


class Container(NamedTuple):
    """DIEs [start, end) lie in the namespace or type whose DIE is at `start`."""

    start: int
    end: int


class _Shape(NamedTuple):
    """How to skip a DIE of one abbreviation. size: of all its attributes where that is fixed; wanted: names and forms
    where something of it is needed or its size is not fixed."""

    tag: str
    children: bool
    size: int | None
    forms: tuple[tuple[str, str], ...]


class Index:
    """The functions and scopes of one unit."""

    def __init__(self, functions: list[Function], ranged: list[int], containers: list[Container]) -> None:
        functions.sort()
        self._functions = functions
        self._lows = [function.low for function in functions]
        self.ranged = ranged
        # Containers nest, so that the one before a DIE holds it, or one of those around that one does.
        containers.sort()
        self._containers = containers
        self._parents: list[int] = []
        around: list[int] = []
        for index, container in enumerate(containers):
            while around and containers[around[-1]].end <= container.start:
                around.pop()
            self._parents.append(around[-1] if around else -1)
            around.append(index)

    def at(self, address: int) -> int | None:
        """The offset of the function whose plain range holds the address."""
        index = bisect_right(self._lows, address) - 1
        while index >= 0 and index > bisect_right(self._lows, address) - 8:
            function = self._functions[index]
            if function.low <= address < function.high:
                return function.offset
            index -= 1
        return None

    def around(self, offset: int) -> list[int]:
        """Offsets of the scopes that a DIE lies in, outermost first."""
        found: list[int] = []
        index = bisect_right(self._containers, (offset, 0)) - 1
        while index >= 0:
            container = self._containers[index]
            if container.start < offset < container.end:
                found.append(container.start)
            index = self._parents[index]
        found.reverse()
        return found


class Units:
    """The DWARF of one file. Raises one of DAMAGE where it is damaged, Expired when the time is up."""

    def __init__(
        self, section: Callable[[str], bytes | None], deadline: Deadline, supplement: Units | None = None
    ) -> None:
        """section: the content of a section by its name without .debug_, None where there is none."""
        self._deadline = deadline
        self._info = b""
        streams: dict[str, DebugSectionDescriptor | None] = {}
        for name in _NAMES:
            content = section(name)
            if name == "info":
                self._info = content or b""
            streams[name] = (
                None
                if content is None
                else DebugSectionDescriptor(io.BytesIO(content), f".debug_{name}", 0, len(content), 0)
            )
            if name == "aranges":
                self._aranges = content or b""
        self._streams = streams
        self.dwarf = DWARFInfo(
            config=DwarfConfig(little_endian=True, machine_arch="x64", default_address_size=8),
            debug_info_sec=streams["info"], debug_aranges_sec=None, debug_abbrev_sec=streams["abbrev"],
            debug_frame_sec=None, eh_frame_sec=None, debug_str_sec=streams["str"], debug_loc_sec=streams["loc"],
            debug_ranges_sec=streams["ranges"], debug_line_sec=None, debug_pubtypes_sec=None,
            debug_pubnames_sec=None, debug_addr_sec=streams["addr"], debug_str_offsets_sec=streams["str_offsets"],
            debug_line_str_sec=streams["line_str"], debug_loclists_sec=streams["loclists"],
            debug_rnglists_sec=streams["rnglists"], debug_sup_sec=None, gnu_debugaltlink_sec=None,
            debug_types_sec=streams["types"],
        )  # fmt: skip
        if supplement is not None:
            self.dwarf.supplementary_dwarfinfo = supplement.dwarf
        self._offsets = _unit_offsets(self._info)
        self._ranges = _aranges(self._aranges)
        self._range_starts = [start for start, _, _ in self._ranges]
        self._indexes: dict[int, Index] = {}
        self._rest: list[tuple[int, int, int]] | None = None
        self.range_lists = self.dwarf.range_lists()
        self.location_lists = self.dwarf.location_lists()
        self.split_ranges: int | None = None
        """Of a unit that was split in the form of DWARF 4: what offsets into .debug_ranges are counted from."""

    def content(self, name: str) -> bytes | None:
        """A section, by its name without .debug_."""
        found = self._streams[name]
        return found.stream.getvalue() if found is not None and isinstance(found.stream, io.BytesIO) else None

    def compile_units(self) -> Iterator[CompileUnit]:
        """All units, in their order."""
        return (self.dwarf.get_CU_at(offset) for offset in self._offsets)

    def unit_at(self, address: int) -> CompileUnit | None:
        """The unit whose code holds a link-time address."""
        index = bisect_right(self._range_starts, address) - 1
        if index >= 0:
            start, end, offset = self._ranges[index]
            if start <= address < end and offset in self._offsets_set():
                return self.dwarf.get_CU_at(offset)
        if self._rest is None:
            self._rest = self._ranges_of_others()
        for start, end, offset in self._rest:
            if start <= address < end:
                return self.dwarf.get_CU_at(offset)
        return None

    def _offsets_set(self) -> frozenset[int]:
        known = getattr(self, "_known_offsets", None)
        if known is None:
            known = self._known_offsets = frozenset(self._offsets)
        return known

    def _ranges_of_others(self) -> list[tuple[int, int, int]]:
        """Ranges of the units that .debug_aranges does not list (clang and rustc write none)."""
        listed = {offset for _, _, offset in self._ranges}
        found: list[tuple[int, int, int]] = []
        for offset in self._offsets:
            if offset in listed:
                continue
            self._deadline.check()
            try:
                top = self.dwarf.get_CU_at(offset).get_top_DIE()
                found.extend((start, end, offset) for start, end in self.ranges(top) if start)
            except DAMAGE:
                continue  # a unit that can't be read holds no address for us
        return found

    def die(self, offset: int) -> DIE:
        """The DIE at an offset in .debug_info."""
        index = bisect_right(self._offsets, offset) - 1
        if index < 0:
            raise DWARFError(f"no unit holds {offset:#x}")
        return self.dwarf.get_CU_at(self._offsets[index]).get_DIE_from_refaddr(offset)

    def reference(self, die: DIE, name: str) -> DIE | None:
        """The DIE that an attribute refers to; None where the attribute is not there."""
        attribute = die.attributes.get(name)
        if attribute is None:
            return None
        if attribute.form == "DW_FORM_ref_addr" and die.cu.dwarfinfo is self.dwarf:
            return self.die(attribute.raw_value)
        return die.get_DIE_from_attribute(name)

    def ranges(self, die: DIE) -> list[tuple[int, int]]:
        """[start, end) of the code of a DIE."""
        attributes = die.attributes
        if "DW_AT_ranges" in attributes and self.range_lists is not None:
            base = _base_address(die.cu)
            found = []
            unit: Any = die.cu
            offset = attributes["DW_AT_ranges"].value
            if self.split_ranges is not None and unit.header["version"] < 5:
                offset += self.split_ranges
            if unit.header["version"] < 5:
                return self._older_ranges(offset, unit.header["address_size"], base)
            entries = self.range_lists.get_range_list_at_offset(offset, unit)
            for entry in entries[: LIMITS.die_ranges]:
                if not isinstance(entry, RangeEntry):
                    base = entry.base_address
                    continue
                shift = 0 if entry.is_absolute else base
                if entry.end_offset > entry.begin_offset:
                    found.append((entry.begin_offset + shift, entry.end_offset + shift))
            return found
        low = attributes.get("DW_AT_low_pc")
        high = attributes.get("DW_AT_high_pc")
        if low is None or high is None or not isinstance(low.value, int) or not isinstance(high.value, int):
            return []
        end = high.value if high.form.startswith("DW_FORM_addr") else low.value + high.value
        return [(low.value, end)] if end > low.value else []

    def _older_ranges(self, offset: int, size: int, base: int) -> list[tuple[int, int]]:
        """A list of .debug_ranges (DWARF 4, 2.17.3), no further than LIMITS.die_ranges entries: the library reads one
        without an end to the end of the section, which takes it a second for each megabyte."""
        section = self.dwarf.debug_ranges_sec
        if section is None or size not in (4, 8):
            return []
        section.stream.seek(offset)
        data = section.stream.read(2 * size * LIMITS.die_ranges)
        highest = (1 << 8 * size) - 1
        found: list[tuple[int, int]] = []
        for start, end in struct.iter_unpack("<QQ" if size == 8 else "<II", data[: len(data) // (2 * size) * 2 * size]):
            if start == end == 0:
                break
            if start == highest:
                base = end
            elif end > start:
                found.append((start + base, end + base))
        return found

    def function_at(self, unit: CompileUnit, address: int) -> DIE | None:
        """The concrete function whose code holds a link-time address."""
        index = self.index(unit)
        offset = index.at(address)
        if offset is not None:
            return unit.get_DIE_from_refaddr(offset)
        for offset in index.ranged:
            self._deadline.check()
            die = unit.get_DIE_from_refaddr(offset)
            if any(start <= address < end for start, end in self.ranges(die)):
                return die
        return None

    def index(self, unit: CompileUnit | TypeUnit) -> Index:
        """The unit's functions and scopes, found by skipping over its DIEs once."""
        known = self._indexes.get(unit.cu_offset)
        if known is None:
            known = self._indexes[unit.cu_offset] = self._skim(unit)
        return known

    def _skim(self, unit: CompileUnit | TypeUnit) -> Index:
        """The functions of a unit. Long: a call for each DIE or attribute would double the time of a large unit."""
        info = self._info
        if unit.dwarfinfo is not self.dwarf:
            stream = unit.dwarfinfo.debug_info_sec.stream  # type: ignore[union-attr]
            info = stream.getvalue() if isinstance(stream, io.BytesIO) else b""
        wide = 8 if unit.structs.dwarf_format == 64 else 4
        top = unit.get_top_DIE()
        language = top.attributes.get("DW_AT_language")
        descend_types = language is not None and language.value == _RUST
        table = unit.get_abbrev_table()
        shapes: dict[int, _Shape] = {}
        functions: list[Function] = []
        ranged: list[int] = []
        containers: list[Container] = []
        position, end = top.offset + top.size, min(unit.cu_offset + unit.size, len(info))
        open_scopes: list[tuple[int, bool]] = [(top.offset, False)]
        count = 0
        while position < end and open_scopes:
            count += 1
            if not count & 0x3FF:
                self._deadline.check()
                if count > LIMITS.dies:
                    raise DWARFError(f"the unit at {unit.cu_offset:#x} has more than {LIMITS.dies} DIEs")
            offset = position
            code = info[position]
            position += 1
            if code & 0x80:
                code, position = leb128(info, position - 1)
            if code == 0:
                start, named = open_scopes.pop()
                if named:
                    containers.append(Container(start, offset))
                continue
            shape = shapes.get(code)
            if shape is None:
                shape = shapes[code] = _shape(table.get_abbrev(code), wide)
            sibling = low = high = None
            has_ranges = relative = False
            if shape.size is not None:
                position += shape.size
            else:
                for name, form in shape.forms:
                    if name == "DW_AT_sibling":
                        size = _FIXED_FORMS.get(form)
                        if size:
                            sibling = unit.cu_offset + int.from_bytes(info[position : position + size], "little")
                    elif name == "DW_AT_low_pc":
                        if form == "DW_FORM_addr":
                            low = int.from_bytes(info[position : position + 8], "little")
                        else:
                            index, _ = _operand(info, position, form)
                            low = self.dwarf.get_addr(unit, index)
                    elif name == "DW_AT_high_pc":
                        relative = form != "DW_FORM_addr"
                        high, _ = _operand(info, position, form)
                    elif name == "DW_AT_ranges":
                        has_ranges = True
                    position = _skip(info, position, form, wide)
            if shape.tag == "DW_TAG_subprogram":
                if low is not None and high is not None:
                    functions.append(Function(low, low + high if relative else high, offset))
                elif has_ranges:
                    ranged.append(offset)
            if shape.children:
                in_type = shape.tag in _NOT_DESCENDED and not descend_types
                # Functions within functions (closures, local classes) have siblings of their own where compilers
                # write them; a function's children are passed over.
                skipped = in_type or shape.tag not in _CONTAINERS
                if skipped and sibling is not None and offset < sibling <= end:
                    if in_type:
                        containers.append(Container(offset, sibling))
                    position = sibling
                    continue
                if len(open_scopes) >= LIMITS.die_depth:
                    raise DWARFError(f"DIEs nest deeper than {LIMITS.die_depth}")
                open_scopes.append((offset, shape.tag in _CONTAINERS))
        return Index(functions, ranged, containers)


def _unit_offsets(info: bytes) -> list[int]:
    offsets: list[int] = []
    position = 0
    while position + 12 <= len(info) and len(offsets) < LIMITS.units:
        offsets.append(position)
        length = int.from_bytes(info[position : position + 4], "little")
        if length == 0xFFFFFFFF:
            length = int.from_bytes(info[position + 4 : position + 12], "little") + 8
        position += length + 4
    return offsets


def _aranges(data: bytes) -> list[tuple[int, int, int]]:
    """(start, end, offset of the unit) of .debug_aranges (DWARF 5 section 6.1.2); what is damaged is left out."""
    found: list[tuple[int, int, int]] = []
    position = 0
    while position + 12 <= len(data) and len(found) < LIMITS.ranges_listed:
        length = int.from_bytes(data[position : position + 4], "little")
        if length == 0xFFFFFFFF:
            break  # 64-bit DWARF: its units are found by their own ranges
        after = position + 4 + length
        offset = int.from_bytes(data[position + 6 : position + 10], "little")
        address_size, segment_size = data[position + 10], data[position + 11]
        if address_size == 8 and segment_size == 0:
            # Tuples are aligned to twice the size of an address, counted from the start of the set.
            begin = position + 16
            body = data[begin : begin + (min(after, len(data)) - begin) // 16 * 16] if after > begin else b""
            for start, size in _ARANGE.iter_unpack(body):
                if not start and not size:
                    break
                if start and size:
                    found.append((start, start + size, offset))
        if after <= position:
            break
        position = after
    found.sort()
    return found


def _base_address(unit: CompileUnit | TypeUnit) -> int:
    low = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
    return low.value if low is not None and isinstance(low.value, int) else 0


def _shape(declaration: Any, wide: int) -> _Shape:
    forms = tuple((spec.name, spec.form) for spec in declaration["attr_spec"])
    tag = declaration["tag"]
    sizes = [_FIXED_FORMS.get(form, wide if form in _OFFSET_FORMS else None) for _, form in forms]
    wanted = any(name in _WANTED for name, _ in forms)
    known = [size for size in sizes if size is not None]
    whole = sum(known) if len(known) == len(sizes) and not wanted else None
    return _Shape(tag, declaration.has_children(), whole, forms)


def leb128(data: Buffer, position: int) -> tuple[int, int]:
    """(unsigned LEB128, position after it)."""
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 70:
            raise DWARFError(f"a number at {position:#x} does not end")


def _operand(data: bytes, position: int, form: str) -> tuple[int, int]:
    size = _FIXED_FORMS.get(form)
    if size:
        return int.from_bytes(data[position : position + size], "little"), position + size
    if form == "DW_FORM_implicit_const":
        raise DWARFError("a range by DW_FORM_implicit_const")
    return leb128(data, position)


def _skip(data: bytes, position: int, form: str, wide: int) -> int:
    size = _FIXED_FORMS.get(form)
    if size is not None:
        return position + size
    if form in _OFFSET_FORMS:
        return position + wide
    if form == "DW_FORM_exprloc" or form == "DW_FORM_block":
        length, position = leb128(data, position)
        return position + length
    if form in _LEB_FORMS:
        while data[position] & 0x80:
            position += 1
        return position + 1
    if form == "DW_FORM_string":
        return data.index(b"\0", position) + 1
    if form in _BLOCK_FORMS:
        size = _BLOCK_FORMS[form]
        return position + size + int.from_bytes(data[position : position + size], "little")
    raise DWARFError(f"form {form} can't be skipped")
