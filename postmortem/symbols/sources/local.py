"""Debug files on this machine: by build-id, by .gnu_debuglink."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.symbols.finder import DebugFile, SymbolSource, open_elf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parsers.elf.header import Buffer
    from parsers.elf.symbols import Sections
    from parsers.filebytes import FileBytes
    from postmortem.targets.buildids import BuildIds


def find_debug_file(
    path: Path,
    sections: Sections | None,
    build_id: str | None,
    debug_dirs: Sequence[Path],
    sysroot: Path | None = None,
    named: BuildIds | None = None,
) -> DebugFile | None:
    """The separate debug file of the module at `path`, proved by build-id or CRC.

    sections: of the module itself, None when only its build-id is known. named: the files of the named directories, of
    which the first with DWARF, else the first with symbols, is taken.
    """
    if build_id and len(build_id) > 2:
        for directory in debug_dirs:
            found = open_elf(directory / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug", sysroot)
            if found is not None and found.sections.build_id == build_id:
                return DebugFile(found.path, found.sections, "build-id")
    indexed = _by_build_id(named, build_id, path, sysroot)
    if indexed is not None:
        return indexed
    link = None if sections is None else sections.debug_link
    if link is None:
        return None
    for candidate in _linked(path.absolute(), link.name, debug_dirs):
        found = open_elf(candidate, sysroot)
        if found is None:
            continue
        identity = found.sections.build_id
        if (identity == build_id) if build_id and identity else (_crc(found.content) == link.crc):
            return DebugFile(found.path, found.sections, "debuglink")
    return None


def _by_build_id(named: BuildIds | None, build_id: str | None, path: Path, sysroot: Path | None) -> DebugFile | None:
    """Of the files with that build-id the one that tells most, other than the module itself."""
    best: DebugFile | None = None
    for candidate in () if named is None else named.files(build_id):
        found = None if candidate == path else open_elf(candidate, sysroot)
        if found is None or found.sections.build_id != build_id:
            continue
        if found.sections.has_dwarf:
            return DebugFile(found.path, found.sections, "build-id")
        if best is None and found.sections.find(b".symtab") is not None:
            best = DebugFile(found.path, found.sections, "build-id")
    return best


def find_supplement(path: Path, content: Buffer, sections: Sections, debug_dirs: Sequence[Path]) -> SymbolSource | None:
    """The file that holds what dwz moved out of that at `path` (.gnu_debugaltlink: its path, NUL, its build-id)."""
    section = sections.find(b".gnu_debugaltlink")
    if section is None or section.size > LIMITS.string:
        return None
    name, _, identity = bytes(content[section.offset : section.offset + section.size]).partition(b"\0")
    wanted = identity.hex()
    named = Path(name.decode("utf-8", "surrogateescape"))
    places = [path.parent / named]
    if len(wanted) > 2:
        places += [directory / ".build-id" / wanted[:2] / f"{wanted[2:]}.debug" for directory in debug_dirs]
        places += [directory / ".dwz" / named.name for directory in debug_dirs]
    for place in places:
        found = open_elf(place)
        if found is not None and found.sections.build_id == wanted:
            return found
    return None


def _crc(content: FileBytes) -> int:
    """CRC-32 of the whole file."""
    crc = 0
    for _, piece in content.pieces(0, len(content)):
        crc = zlib.crc32(piece, crc)
    return crc


def _linked(path: Path, name: str, debug_dirs: Sequence[Path]) -> Iterator[Path]:
    """Where the file that .gnu_debuglink names may lie."""
    folders = [path.parent, path.parent / ".debug"]
    folders += [directory / path.parent.relative_to(path.anchor) for directory in debug_dirs]
    folders += debug_dirs
    for folder in folders:
        if folder / name != path:
            yield folder / name
