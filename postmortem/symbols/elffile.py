"""An ELF file that symbols are taken from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.elf.symbols import Sections
from parsers.errors import ParseError
from postmortem.targets.files import SearchPath, open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from parsers.filebytes import FileBytes


class ElfFile(NamedTuple):
    """A file with its table of sections."""

    path: Path
    content: FileBytes
    sections: Sections


def open_elf(path: Path, sysroot: Path | None = None) -> ElfFile | str:
    """The ELF file at `path`, or in words why there is none that can be read.

    A path inside the sysroot is used only if its symbolic links stay there.
    """
    path = path.absolute()
    content = open_regular(*SearchPath(sysroot=sysroot).allowed(path))
    if isinstance(content, str):
        return content
    try:
        return ElfFile(path, content, Sections(content))
    except ParseError:
        return "not an ELF file"
