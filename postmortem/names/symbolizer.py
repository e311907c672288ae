"""Addresses of one ELF file to functions, files and lines; names to addresses."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from parsers.elf.symbol_tables import SHT_DYNSYM, SHT_SYMTAB, Entry, Sections
from parsers.errors import ParseError
from postmortem.modules import open_regular
from postmortem.names import table as symbol_table
from postmortem.names.cache import Cache
from postmortem.names.demangle import demangle
from postmortem.names.finder import find_debug_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NONE = b"none"


class Location(NamedTuple):
    """A function at an address; `inlined` into the next one of its tuple."""

    function: str | None
    file: str | None
    line: int | None
    inlined: bool


class SymbolFile:
    """The symbols of one ELF file. Addresses are link-time ones: pc minus the module's bias.

    source: where the names came from: build-id, debuglink (a separate debug file), symtab, gnu_debugdata,
    dynsym, core.
    """

    def __init__(self, table: symbol_table.SymbolTable, source: str, dwarf: Path | None) -> None:
        self.source = source
        self._table = table
        self._dwarf_path = dwarf
        self._dwarf: Any = None

    @classmethod
    def from_table(cls, entries: Iterable[tuple[int, int, str, int]]) -> SymbolFile:
        """Symbols read from a dead process's memory: (value, size, name, st_info)."""
        packed = [Entry(value, size, name.encode("utf-8", "replace"), info) for value, size, name, info in entries]
        return cls(symbol_table.SymbolTable(symbol_table.build(packed)), "core", None)

    def lookup(self, address: int) -> tuple[Location, ...]:
        """Functions at an address, innermost inlined one first; () when no symbol covers it."""
        found = self._table.find(address)
        if self._dwarf_path is not None:
            locations = self._from_dwarf(address, found)
            if locations:
                return locations
        return () if found is None else (Location(demangle(found[0]), None, None, False),)

    def _from_dwarf(self, address: int, found: tuple[str, int, int] | None) -> tuple[Location, ...]:
        if self._dwarf is None:
            from symbolic import SymbolicError, SymCache

            try:
                self._dwarf = SymCache.open(str(self._dwarf_path))
            except (SymbolicError, OSError):
                self._dwarf_path = None
                return ()
        rows = self._dwarf.lookup(address)
        if found is None and not any(row.line for row in rows):
            return ()  # a symbol stretched over code that has none
        last = len(rows) - 1
        result = []
        for index, row in enumerate(rows):
            name = demangle(row.symbol) if row.symbol else None
            if index == last and found is not None:
                # The symbol table tells main from main.cold, and has linkage names where DWARF has not.
                name = demangle(found[0])
            result.append(Location(name, row.full_path, row.line or None, index < last))
        return tuple(result)

    def address_of(self, name: str) -> int | None:
        """The link-time address of a symbol by its linkage name."""
        return self._table.address_of(name)

    def with_prefix(self, prefix: str) -> Iterator[tuple[str, int, int]]:
        """(linkage name, address, size) of all symbols whose name begins so."""
        return self._table.with_prefix(prefix)

    def symbol_at(self, address: int) -> tuple[str, int, int] | None:
        """(demangled name, start, size) of the function or data object that covers an address."""
        return symbol_table.readable(self._table.find(address, data=True))


def open_symbols(
    path: Path, build_id: str | None, *, debug_dirs: Sequence[Path], cache_dir: Path | None
) -> SymbolFile | None:
    """The best symbols for the ELF file at `path`, or None when it has none. Damage counts as none."""
    cache = Cache(cache_dir)
    content = open_regular(path.absolute(), Path("/"))
    if isinstance(content, str):
        return None
    try:
        sections = Sections(content)
    except ParseError:
        return None
    debug = find_debug_file(path, sections, build_id, debug_dirs)
    key = build_id or hashlib.sha1(content, usedforsecurity=False).hexdigest()
    key += hashlib.sha1(str(debug.path).encode(), usedforsecurity=False).hexdigest()[:8] if debug else ""
    table = _stored(cache, key)
    source = _source(sections, debug.how if debug else None)
    if table is None:
        data = symbol_table.build(_collect(sections, debug.sections if debug else None))
        cache.write(key, "sym", lambda place: _save(place, data))
        table = symbol_table.SymbolTable(data)
    with_dwarf = debug.path if debug and debug.sections.has_dwarf else path if sections.has_dwarf else None
    dwarf = _symcache(cache, key, with_dwarf) if with_dwarf is not None else None
    if not len(table) and dwarf is None:
        return None
    return SymbolFile(table, source, dwarf)


def _save(place: Path, data: bytes) -> None:
    place.write_bytes(data)


def _stored(cache: Cache, key: str) -> symbol_table.SymbolTable | None:
    data = cache.read(key, "sym")
    if data is None:
        return None
    try:
        return symbol_table.SymbolTable(memoryview(data))
    except ValueError:
        return None


def _source(sections: Sections, debug: str | None) -> str:
    if debug is not None:
        return debug
    if sections.find(b".symtab") is not None:
        return "symtab"
    return "gnu_debugdata" if sections.find(b".gnu_debugdata") is not None else "dynsym"


def _collect(sections: Sections, debug: Sections | None) -> list[Entry]:
    """Symbols of all tables, each (address, name) once."""
    entries: dict[tuple[int, bytes], Entry] = {}
    tables = [sections.symbols(SHT_SYMTAB), sections.symbols(SHT_DYNSYM)]
    if debug is not None:
        tables.insert(0, debug.symbols(SHT_SYMTAB))
    with contextlib.suppress(ParseError):
        mini = sections.mini_debug_info()
        if mini is not None:
            tables.append(Sections(mini).symbols(SHT_SYMTAB))
    for table in tables:
        for entry in table:
            entries.setdefault((entry.value, entry.name), entry)
    return list(entries.values())


def _symcache(cache: Cache, key: str, source: Path) -> Path | None:
    """The path of a SymCache made from the DWARF of `source`."""
    kept = cache.read(key, "symcache")
    if kept is not None:
        if kept[:4] != _NONE:
            return cache.path(key, "symcache")
        return None
    from symbolic import Archive, SymbolicError

    try:
        made = Archive.open(str(source)).get_object(arch="x86_64").make_symcache()
    except (SymbolicError, OSError, LookupError, AttributeError):
        cache.write(key, "symcache", lambda place: _save(place, _NONE))
        return None

    def save(place: Path) -> None:
        with place.open("wb") as file:
            made.dump_into(file)

    return cache.write(key, "symcache", save)
