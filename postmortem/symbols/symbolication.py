"""Names for addresses of modules: from their files, or from the core when a file is missing."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from parsers.elf import module as image_parser
from parsers.errors import ParseError
from postmortem.model import ModuleCandidate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from parsers.elf.gopclntab import Table
    from parsers.elf.symbols import Sections
    from postmortem.program.modules import LoadedModule
    from postmortem.program.program import Program
    from postmortem.symbols.elffile import ElfFile
    from postmortem.symbols.linkedlibc import LinkedLibc
    from postmortem.symbols.sources.source import Places
    from postmortem.symbols.symbolizer import DwarfFile, Location, SymbolFile


class Symbolication:
    """Symbol files of the modules of one process, opened when first asked for."""

    def __init__(self, program: Program, debug_dirs: Sequence[Path], cache_dir: Path | None) -> None:
        """debug_dirs: where separate debug files may lie. cache_dir: None is the default of symbols.cache."""
        self._modules = program.modules
        self._space = program.memory
        self._debug_dirs = debug_dirs
        self._cache_dir = cache_dir
        self._search = program.search
        self._files: dict[int, SymbolFile | None] = {}
        self._linked: dict[int, LinkedLibc | None] = {}
        self._go_tables: dict[int, Table | None] = {}
        self._told: dict[int, Callable[[int], str | None]] = {}

    def file(self, module: LoadedModule) -> SymbolFile | None:
        """The symbols of a module, or None when there are none to be had."""
        if module.start in self._files:
            return self._files[module.start]
        from postmortem.symbols.symbolizer import SymbolFile, open_symbols

        symbols: SymbolFile | None = None
        if module.file is not None or module.build_id is not None:
            # A separate debug file serves without the module's own.
            symbols = open_symbols(
                module.file or Path("/nonexistent"), module.build_id, self._places(module), self._cache_dir
            )
        if symbols is None and module.image is not None:
            entries = self._of_core(module.image)
            if entries:
                symbols = SymbolFile.from_table(
                    [(entry.value, entry.size, entry.name, entry.info) for entry in entries]
                )
                module.symbols_source = "core"
        if symbols is not None and module.symbols_source is None:
            module.symbols_source = symbols.source
        self._files[module.start] = symbols
        return symbols

    def _of_core(self, image: image_parser.Image) -> list[image_parser.Symbol]:
        """The dynamic symbols that a core has of a module, as far as all modules' together may be taken."""
        budget = self._space.budget
        entries, left_out = image_parser.dynamic_symbols(
            self._space.read, image, budget.left("dynamic_symbols"), budget.left("dynamic_names")
        )
        budget.take("dynamic_symbols", len(entries))
        budget.take("dynamic_names", min(sum(len(entry.name) for entry in entries), budget.left("dynamic_names")))
        for kind, count in left_out.items():
            budget.miss(kind, count)
        return entries

    def _places(self, module: LoadedModule) -> Places:
        from postmortem.symbols.sources.source import Places

        def looked(path: Path, outcome: str) -> None:
            module.candidates.append(ModuleCandidate(path=str(path), outcome=outcome, wanted="debug"))

        return Places(self._debug_dirs, self._search.sysroot, self._search.by_build_id, looked)

    def locate(self, module: LoadedModule, address: int) -> tuple[Location, ...]:
        """Names at an address in memory, innermost inlined function first; () when none covers it."""
        symbols = self.file(module)
        found = () if symbols is None else symbols.lookup(address - module.bias)
        told = self._told.get(module.start) if not found else None
        name = told(address) if told is not None else None
        if name is not None:
            return (_location(name),)
        if len(found) == 1 and found[0].file is None and (table := self._go_table(module)) is not None:
            place = table.at(address - module.bias)
            if place is not None and place.line:
                return (found[0]._replace(file=place.file, line=place.line),)
        return found

    def _go_table(self, module: LoadedModule) -> Table | None:
        """Go's own table of a module, which has lines also where its DWARF is left out."""
        if module.start not in self._go_tables:
            from parsers.elf.symbols import Sections

            found = None
            if module.content is not None and (module.image is None or b"Go" in module.image.note_names):
                with contextlib.suppress(ParseError):
                    found = Sections(module.content).go_places()
            self._go_tables[module.start] = found
        return self._go_tables[module.start]

    def linked_library(self, module: LoadedModule, address: int) -> str | None:
        """The C library that an address of the executable belongs to, where it is linked in."""
        if module is not self._modules.executable or self._modules.named("libc.so") is not None:
            return None
        if module.start not in self._linked:
            from postmortem.symbols.linkedlibc import linked_libc

            self._linked[module.start] = linked_libc(lambda name: self.address_of(module, name))
        found = self._linked[module.start]
        return found.name if found is not None and address >= found.start else None

    def tell(self, module: LoadedModule, name: Callable[[int], str | None]) -> None:
        """Names by address in memory that a runtime knows of its own library, for where that has no symbol."""
        self._told[module.start] = name

    def dwarf(self, module: LoadedModule) -> DwarfFile | None:
        """Where a module's DWARF is, if there is any."""
        symbols = self.file(module)
        return None if symbols is None else symbols.dwarf

    def supplement(self, dwarf: DwarfFile, sections: Sections) -> ElfFile | None:
        """The file that dwz moved a part of this one's DWARF to, if it did and the file is there."""
        from postmortem.symbols.supplement import find_supplement

        return find_supplement(dwarf.path, dwarf.content, sections, self._debug_dirs, self._search.sysroot)

    def split(self, module: LoadedModule, dwarf: DwarfFile, name: str, folder: str) -> Iterator[ElfFile]:
        """The files that may hold a unit that was split off this module's DWARF, by the name and folder of its .dwo."""
        from postmortem.symbols.splitfiles import split_files

        beside = () if self._search.closed else [path for path in (module.file, dwarf.path) if path is not None]
        return split_files(beside, name, "" if self._search.closed else folder, self._debug_dirs, self._search.sysroot)

    def merged_inlines(self, address: int, line: int) -> tuple[Location, ...]:
        """Functions merged into the instruction at an address in memory whose line is `line`, innermost first."""
        module = self._modules.at(address)
        symbols = None if module is None else self.file(module)
        return () if module is None or symbols is None else symbols.merged(address - module.bias, line)

    def symbol_at(self, address: int) -> tuple[str, int, int] | None:
        """(name, offset into it, its size) of the symbol that covers an address in memory."""
        module = self._modules.at(address)
        symbols = None if module is None else self.file(module)
        if module is None or symbols is None:
            return None
        found = symbols.symbol_at(address - module.bias)
        return None if found is None else (found[0], address - module.bias - found[1], found[2])

    def address_of(self, module: LoadedModule, name: str) -> int | None:
        """Where a symbol by its linkage name lies in memory."""
        symbols = self.file(module)
        value = None if symbols is None else symbols.address_of(name)
        return None if value is None else value + module.bias

    def bounds_at(self, address: int) -> tuple[int, int] | None:
        """Start in memory and size of the function that holds an address, by its symbol."""
        found = self.symbol_at(address)
        return None if found is None else (address - found[1], found[2])

    def start_at(self, address: int) -> int | None:
        """Start in memory of the function that holds an address."""
        found = self.bounds_at(address)
        return None if found is None else found[0]

    def function_at(self, address: int) -> str | None:
        """The name of the symbol that covers an address in memory."""
        found = self.symbol_at(address)
        return None if found is None else found[0]

    def system_symbol(self, name: str) -> int | None:
        """Where a symbol of libc or GLib lies in memory, or of the executable when that has them linked in."""
        modules = self._modules
        for module in (modules.named("libc.so"), modules.named("libglib-2.0.so"), modules.executable):
            if module is not None:
                address = self.address_of(module, name)
                if address is not None:
                    return address
        return None


def _location(name: str) -> Location:
    from postmortem.symbols.symbolizer import Location

    return Location(name, None, None, False)
