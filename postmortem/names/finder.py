"""Where symbols of a module may be: its own file, its separate debug file, its mini debug info.

Order of places: GDB manual, "Debugging Information in Separate Files".
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

from parsers.elf.symbol_tables import Sections
from parsers.errors import ParseError
from postmortem.modules import open_regular

if TYPE_CHECKING:
    import mmap
    from collections.abc import Sequence
    from pathlib import Path


class DebugFile(NamedTuple):
    """A separate debug file that belongs to the module; how: build-id or debuglink."""

    path: Path
    sections: Sections
    how: str


def find_debug_file(
    path: Path, sections: Sections, build_id: str | None, debug_dirs: Sequence[Path]
) -> DebugFile | None:
    """The separate debug file of the module at `path`, proved by build-id or CRC."""
    if build_id:
        for directory in debug_dirs:
            candidate = directory / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
            found = _open(candidate)
            if found is not None and found[1].build_id == build_id:
                return DebugFile(candidate, found[1], "build-id")
    link = sections.debug_link
    if link is None:
        return None
    places = [path.parent / link.name, path.parent / ".debug" / link.name]
    places += [directory / path.parent.relative_to(path.anchor) / link.name for directory in debug_dirs]
    places += [directory / link.name for directory in debug_dirs]
    for candidate in places:
        if candidate == path:
            continue
        found = _open(candidate)
        if found is None:
            continue
        content, candidate_sections = found
        identity = candidate_sections.build_id
        if (identity == build_id) if build_id and identity else (zlib.crc32(content) == link.crc):
            return DebugFile(candidate, candidate_sections, "debuglink")
    return None


def _open(path: Path) -> tuple[mmap.mmap, Sections] | None:
    from pathlib import Path as AnyPath

    content = open_regular(path.absolute(), AnyPath("/"))
    if isinstance(content, str):
        return None
    try:
        return content, Sections(content)
    except ParseError:
        return None
