"""Debug files at .build-id/XX/REST.debug in the debug directories, as distributions lay them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.symbols.sources.source import DebugFile, other_build

if TYPE_CHECKING:
    from pathlib import Path

    from postmortem.symbols.sources.source import Places, Wanted


def place(directory: Path, build_id: str) -> Path:
    """Where a debug file lies in a debug directory. build_id: in hexadecimal, longer than a byte."""
    return directory / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"


def find(wanted: Wanted, places: Places) -> DebugFile | None:
    """By build-id."""
    if not wanted.build_id or len(wanted.build_id) <= 2:
        return None
    for directory in places.debug_dirs:
        found = places.open(place(directory, wanted.build_id))
        if found is None:
            continue
        if found.sections.build_id == wanted.build_id:
            return DebugFile(found.path, found.sections, "build-id")
        places.record(found.path, other_build(found))
    return None
