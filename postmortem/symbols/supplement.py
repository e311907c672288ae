"""The file that dwz moved a part of a debug file's DWARF to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.symbols.elffile import ElfFile, open_elf
from postmortem.symbols.sources.buildidtree import place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.elf.header import Buffer
    from parsers.elf.symbols import Sections


def find_supplement(
    path: Path, content: Buffer, sections: Sections, debug_dirs: Sequence[Path], sysroot: Path | None = None
) -> ElfFile | None:
    """Of the debug file at `path`, by .gnu_debugaltlink: a path, NUL, a build-id.

    The path is the file's own word: nothing is opened by it outside of the file's folder and the debug directories.
    """
    section = sections.find(b".gnu_debugaltlink")
    if section is None or section.size > LIMITS.string:
        return None
    name, _, identity = bytes(content[section.offset : section.offset + section.size]).partition(b"\0")
    wanted = identity.hex()
    named = Path(name.decode("utf-8", "surrogateescape"))
    folders = [path.absolute().parent, *(directory.absolute() for directory in debug_dirs)]
    links = [path.absolute().parent / named]
    if named.is_absolute() and sysroot is not None:
        links.append(sysroot.absolute() / named.relative_to("/"))
    straight = [Path(os.path.normpath(link)) for link in links]
    places = [link for link in straight if any(link.is_relative_to(folder) for folder in folders)]
    if len(wanted) > 2:
        places += [place(directory, wanted) for directory in debug_dirs]
        places += [directory / ".dwz" / named.name for directory in debug_dirs]
    for candidate in places:
        found = open_elf(candidate, sysroot)
        if isinstance(found, ElfFile) and found.sections.build_id == wanted:
            return found
    return None
