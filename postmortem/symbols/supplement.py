"""The file that dwz moved a part of a debug file's DWARF to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.symbols.elffile import ElfFile, open_elf
from postmortem.symbols.sources.buildidtree import place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.elf.header import Buffer
    from parsers.elf.symbols import Sections


def find_supplement(path: Path, content: Buffer, sections: Sections, debug_dirs: Sequence[Path]) -> ElfFile | None:
    """Of the debug file at `path`, by .gnu_debugaltlink: a path, NUL, a build-id."""
    section = sections.find(b".gnu_debugaltlink")
    if section is None or section.size > LIMITS.string:
        return None
    name, _, identity = bytes(content[section.offset : section.offset + section.size]).partition(b"\0")
    wanted = identity.hex()
    named = Path(name.decode("utf-8", "surrogateescape"))
    places = [path.parent / named]
    if len(wanted) > 2:
        places += [place(directory, wanted) for directory in debug_dirs]
        places += [directory / ".dwz" / named.name for directory in debug_dirs]
    for candidate in places:
        found = open_elf(candidate)
        if isinstance(found, ElfFile) and found.sections.build_id == wanted:
            return found
    return None
