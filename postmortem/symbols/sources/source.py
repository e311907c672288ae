"""The places where separate debug files are looked for: one order, every look-up recorded.

A source is added as a file beside this one and a row in SOURCES.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from postmortem.symbols.elffile import open_elf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from parsers.elf.symbols import Sections
    from postmortem.symbols.elffile import ElfFile
    from postmortem.targets.buildids import BuildIds

SOURCES = ("buildidtree", "debugdirs", "debuglink")
"""Files beside this one, in the order in which they are asked; each is a `SymbolSource`. GDB manual, "Debugging
Information in Separate Files", has the places; files of the directories that were named come before debug links."""


class Wanted(NamedTuple):
    """A module whose debug file is wanted. path: of its own file. sections: of that file; None: only the build-id is
    known."""

    path: Path
    build_id: str | None
    sections: Sections | None


class Places(NamedTuple):
    """Where to look. debug_dirs: those named, then the system's own. named: the files of the named ones by build-id.

    looked: is told each file that was looked at, and what came of it.
    """

    debug_dirs: Sequence[Path] = ()
    sysroot: Path | None = None
    named: BuildIds | None = None
    looked: Callable[[Path, str], None] | None = None

    def open(self, path: Path) -> ElfFile | None:
        """The ELF file at a path inside the allowed roots; what stands in the way is recorded."""
        found = open_elf(path, self.sysroot)
        if isinstance(found, str):
            self.record(path, found)
            return None
        return found

    def record(self, path: Path, outcome: str) -> None:
        """A file was looked at."""
        if self.looked is not None:
            self.looked(path, outcome)


class DebugFile(NamedTuple):
    """A separate debug file that belongs to the module; how: what proves it, build-id or debuglink."""

    path: Path
    sections: Sections
    how: str


class SymbolSource(Protocol):
    """A kind of place."""

    def find(self, wanted: Wanted, places: Places) -> DebugFile | None:
        """The debug file of a module, proved to be its own; None: this place has none."""
        ...


def find_debug_file(
    wanted: Wanted, places: Places, table: Sequence[str] = SOURCES, home: str = "postmortem.symbols.sources"
) -> DebugFile | None:
    """The first that a source has. table, home: the sources and the package that has them."""
    for name in table:
        source = cast("SymbolSource", import_module(f"{home}.{name}"))
        found = source.find(wanted, places)
        if found is not None:
            places.record(found.path, f"matched by {found.how}")
            return found
    return None


def other_build(found: ElfFile) -> str:
    """What is recorded of a file with another build-id than the one wanted."""
    return f"build-id {found.sections.build_id or 'missing'}, not the module's"
