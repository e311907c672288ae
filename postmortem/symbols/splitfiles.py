"""The files that hold what -gsplit-dwarf takes out of a program: a .dwp for all of it, or a .dwo for each object."""

from __future__ import annotations

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
    named = Path(folder, name)
    if named.is_absolute():
        paths.append(named if sysroot is None else sysroot / named.relative_to("/"))
    for place in [program.parent for program in programs] + list(debug_dirs):
        # Where what was built was moved to: with its folders, or without.
        paths += [place / named.name] if Path(name).is_absolute() else [place / name, place / named.name]
    for path in dict.fromkeys(paths):
        found = open_elf(path, sysroot)
        if isinstance(found, ElfFile):
            yield found
