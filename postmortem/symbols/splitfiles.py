"""The files that hold what -gsplit-dwarf takes out of a program: a .dwp for all of it, or a .dwo for each object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from postmortem.symbols.elffile import ElfFile, open_elf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def split_files(
    programs: Iterable[Path], name: str, folder: str, debug_dirs: Sequence[Path], sysroot: Path | None
) -> Iterator[ElfFile]:
    """Those that may hold a unit, packages first. Whether it is in one, its id tells.

    programs: the program and its debug file. name, folder: of the .dwo, as the unit has them (DW_AT_dwo_name,
    DW_AT_comp_dir).
    """
    paths = []
    for program in programs:
        packed = program.with_name(program.name.removesuffix(".debug") + ".dwp")
        paths += [packed, program.with_name(program.name + ".dwp"), *(place / packed.name for place in debug_dirs)]
    if not name.endswith(".dwo"):
        name = ""  # as no compiler calls it: nothing is opened by it
    named = Path(folder, name)
    if named.is_absolute() and name:
        paths.append(named if sysroot is None else sysroot / named.relative_to("/"))
    for place in [program.parent for program in programs] + list(debug_dirs):
        # Where what was built was moved to: with its folders, or without; never above the place.
        within = Path(os.path.normpath(place / name))
        if name and not Path(name).is_absolute() and within.is_relative_to(os.path.normpath(place)):
            paths.append(within)
        paths += [place / named.name] if name else []
    for path in dict.fromkeys(paths):
        found = open_elf(path, sysroot)
        if isinstance(found, ElfFile):
            yield found
