"""Inlined functions without an instruction of their own, read from .debug_info.

GCC writes for each a DW_TAG_inlined_subroutine whose DW_AT_low_pc is the instruction into which it was merged, and
whose DW_AT_high_pc is 0 bytes on. DWARF 5, 3.3.8.2; DW_AT_GNU_entry_view orders those of one address.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from parsers.elf.header import Buffer

_LARGEST_UNIT = LIMITS.mergedinlines_largest_unit
"""Bytes of a compilation unit that is read: some 10,000 entries, a tenth of a second."""
_LARGEST_FILE = LIMITS.mergedinlines_largest_file
_DEEPEST = LIMITS.mergedinlines_deepest


class Merged(NamedTuple):
    """An inlined function and the line it was declared at."""

    name: str
    line: int | None


def merged_at(content: Buffer, address: int, line: int) -> list[Merged]:
    """The functions merged into the instruction at a link-time address, innermost first.

    line: of the instruction; a function counts only if that is the line it was called from. Empty when there is
    none, when two could be meant, or when the unit is too large to be read for this.
    """
    from elftools.elf.elffile import ELFFile

    from postmortem.symbols.damage import DAMAGE

    try:
        if len(content) > _LARGEST_FILE:
            return []
        elf = ELFFile(io.BytesIO(bytes(content[:])))
        if not elf.has_dwarf_info() or any(
            section.data_size > LIMITS.debug_section_bytes for section in elf.iter_sections()
        ):
            return []
        dwarf = elf.get_dwarf_info(relocate_dwarf_sections=False, follow_links=False)
        ranges = dwarf.get_aranges()
        offset = None if ranges is None else ranges.cu_offset_at_addr(address)
        if offset is None:
            return []
        unit = dwarf.get_CU_at(offset)
        if unit["unit_length"] > _LARGEST_UNIT:
            return []
        return _in_unit(unit, address, line)
    except DAMAGE:
        return []  # damaged debug information names nobody


def _in_unit(unit: Any, address: int, line: int) -> list[Merged]:
    found: list[Merged] = []
    at = line
    entries = list(_empty(unit.get_top_DIE(), address, 0))
    while len(found) < _DEEPEST:
        callees = [entry for entry in entries if _value(entry, "DW_AT_call_line") == at]
        if len(callees) != 1:
            return found if not callees else []
        entries.remove(callees[0])
        origin = callees[0].get_DIE_from_attribute("DW_AT_abstract_origin")
        name = _value(origin, "DW_AT_linkage_name") or _value(origin, "DW_AT_name")
        if not isinstance(name, bytes):
            return []
        declared = _value(origin, "DW_AT_decl_line")
        found.insert(0, Merged(name.decode("utf-8", "replace"), declared if isinstance(declared, int) else None))
        inner = [_value(entry, "DW_AT_call_line") for entry in entries]
        if len(set(inner)) != 1 or not isinstance(inner[0], int):
            return found
        at = inner[0]
    return found


def _empty(entry: Any, address: int, depth: int) -> Any:
    """Inlined subroutines without instructions at the address, outermost first."""
    if depth > _DEEPEST:
        return
    for child in entry.iter_children():
        if child.tag == "DW_TAG_inlined_subroutine":
            low, high = _value(child, "DW_AT_low_pc"), _value(child, "DW_AT_high_pc")
            if low == address and high in (0, address):
                yield child
        if child.has_children and child.tag in (
            "DW_TAG_subprogram", "DW_TAG_inlined_subroutine", "DW_TAG_lexical_block", "DW_TAG_namespace",
        ):  # fmt: skip
            yield from _empty(child, address, depth + 1)


def _value(entry: Any, name: str) -> Any:
    attribute = entry.attributes.get(name)
    return None if attribute is None else attribute.value
