"""Files of the directories that were named (--debug-dir), whatever they are called, by build-id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.symbols.sources.source import DebugFile, other_build

if TYPE_CHECKING:
    from postmortem.symbols.sources.source import Places, Wanted


def find(wanted: Wanted, places: Places) -> DebugFile | None:
    """Of the files with that build-id the first with DWARF, else the first with symbols; not the module itself."""
    best: DebugFile | None = None
    for candidate in () if places.named is None else places.named.files(wanted.build_id):
        found = None if candidate == wanted.path else places.open(candidate)
        if found is None:
            continue
        if found.sections.build_id != wanted.build_id:
            places.record(found.path, other_build(found))
        elif found.sections.has_dwarf:
            return DebugFile(found.path, found.sections, "build-id")
        elif best is None and found.sections.find(b".symtab") is not None:
            best = DebugFile(found.path, found.sections, "build-id")
    return best
