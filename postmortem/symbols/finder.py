"""Where symbols of a module may be: its own file, its separate debug file.

Order of places: GDB manual, "Debugging Information in Separate Files".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.elf.symbols import Sections
from parsers.errors import ParseError
from postmortem.targets.files import SearchPath, open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from parsers.filebytes import FileBytes


class SymbolSource(NamedTuple):
    """An ELF file that symbols are taken from."""

    path: Path
    content: FileBytes
    sections: Sections


class DebugFile(NamedTuple):
    """A separate debug file that belongs to the module; how: build-id or debuglink."""

    path: Path
    sections: Sections
    how: str


def open_elf(path: Path, sysroot: Path | None = None) -> SymbolSource | None:
    """The ELF file at `path`; None when there is none that can be read.

    A path inside the sysroot is used only if its symbolic links stay there.
    """
    path = path.absolute()
    content = open_regular(*SearchPath(sysroot=sysroot).allowed(path))
    if isinstance(content, str):
        return None
    try:
        return SymbolSource(path, content, Sections(content))
    except ParseError:
        return None
