"""Debug files by the name and CRC in the module's .gnu_debuglink."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from postmortem.symbols.sources.source import DebugFile, other_build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from parsers.filebytes import FileBytes
    from postmortem.symbols.sources.source import Places, Wanted


def find(wanted: Wanted, places: Places) -> DebugFile | None:
    """Proved by build-id where module and file have one, else by CRC."""
    link = None if wanted.sections is None else wanted.sections.debug_link
    if link is None:
        return None
    for candidate in _candidates(wanted.path.absolute(), link.name, places.debug_dirs):
        found = places.open(candidate)
        if found is None:
            continue
        if wanted.build_id and found.sections.build_id:
            belongs, otherwise = found.sections.build_id == wanted.build_id, other_build(found)
        else:
            belongs, otherwise = _crc(found.content) == link.crc, "its CRC is not that of .gnu_debuglink"
        if belongs:
            return DebugFile(found.path, found.sections, "debuglink")
        places.record(found.path, otherwise)
    return None


def _crc(content: FileBytes) -> int:
    """CRC-32 of the whole file."""
    crc = 0
    for _, piece in content.pieces(0, len(content)):
        crc = zlib.crc32(piece, crc)
    return crc


def _candidates(path: Path, name: str, debug_dirs: Sequence[Path]) -> Iterator[Path]:
    """Where the file that .gnu_debuglink names may lie."""
    folders = [path.parent, path.parent / ".debug"]
    folders += [directory / path.parent.relative_to(path.anchor) for directory in debug_dirs]
    folders += debug_dirs
    for folder in folders:
        if folder / name != path:
            yield folder / name
