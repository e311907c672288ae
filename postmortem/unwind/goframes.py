"""Frames of Go's functions by Go's own table, which it keeps when its DWARF is left out (go build -ldflags=-w).

The table has for each pc how many bytes the function has pushed below its return address. The last that it pushes is
the caller's rbp, above its own variables (cmd/internal/obj/x86/obj6.go, preprocess: a frame of any size has it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.dwarf import cfi
from parsers.elf.symbols import Sections
from parsers.errors import ParseError

if TYPE_CHECKING:
    from parsers.elf.gopclntab import Place, Table
    from postmortem.program.modules import LoadedModule

NOTE = b"Go"
"""Whose note .note.go.buildid is (cmd/link/internal/ld/elf.go, ELF_NOTE_GO_NAME)."""
_RSP, _RBP, _RETURN = 7, 6, 16
"""Columns of x86-64 (psABI, "DWARF Register Number Mapping")."""
_BOTTOM = (b"runtime.goexit", b"runtime.rt0_go", b"runtime.goexit.abi0", b"runtime.rt0_go.abi0")


def go_frames(module: LoadedModule, machine: str) -> GoFrames | None:
    """Those of a module that the Go linker made, or that may be one of its."""
    if machine != "x86_64" or module.content is None:
        return None
    if module.image is not None and module.image.note_names and NOTE not in module.image.note_names:
        return None
    try:
        table = Sections(module.content).go_places()
    except ParseError:
        return None
    return None if table is None else GoFrames(table, module.bias)


class GoFrames:
    """Rules as call frame information has them."""

    work = 0
    """Bytes of call frame information that were read: none."""

    def __init__(self, table: Table, bias: int) -> None:
        self._table, self._bias = table, bias

    def place(self, pc: int) -> Place | None:
        """The function at an address in memory."""
        return self._table.at(pc - self._bias)

    def find(self, pc: int) -> None:
        """It has no call frame information."""

    def rule(self, pc: int) -> cfi.Rule | None:
        """How to step from pc to its caller; None where the table does not tell."""
        place = self.place(pc)
        if place is None or place.frame is None:
            return None
        saved = ((_RETURN, -8), (_RBP, -16)) if place.frame >= 8 else ((_RETURN, -8),)
        return cfi.Rule(_RSP, place.frame + 8, None, saved, (), _RETURN, signal=False, bottom=place.name in _BOTTOM)
