"""Addresses of one ELF file to functions, files and lines; names to addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from parsers.elf.symbols import SHT_DYNSYM, SHT_SYMTAB, Entry, Sections
from parsers.errors import ParseError
from postmortem.symbols import table as symbol_table
from postmortem.symbols.cache import Cache
from postmortem.symbols.demangle import demangle
from postmortem.symbols.elffile import ElfFile, open_elf
from postmortem.symbols.lines import Lines
from postmortem.symbols.sources.source import Places, Wanted, find_debug_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from parsers.elf.header import Buffer

_KIND = "sym"


class Location(NamedTuple):
    """A function at an address; `inlined` into the next one of its tuple."""

    function: str | None
    file: str | None
    line: int | None
    inlined: bool


class DwarfFile(NamedTuple):
    """The file that holds a module's DWARF, and the key of what the cache keeps of it; None: nothing is kept."""

    path: Path
    content: Buffer
    key: str | None


class SymbolFile:
    """The symbols of one ELF file. Addresses are link-time ones: pc minus the module's bias.

    source: where the names came from: build-id, debuglink (a separate debug file), symtab, gnu_debugdata,
    dynsym, core.
    """

    def __init__(self, table: symbol_table.SymbolTable, source: str, lines: Lines | None) -> None:
        self.source = source
        self._table = table
        self._lines = lines

    @property
    def dwarf(self) -> DwarfFile | None:
        """Where DWARF is, if there is any."""
        return None if self._lines is None else DwarfFile(self._lines.path, self._lines.content, self._lines.key())

    @classmethod
    def from_table(cls, entries: Iterable[tuple[int, int, str, int]]) -> SymbolFile:
        """Symbols read from a dead process's memory: (value, size, name, st_info)."""
        packed = [Entry(value, size, name.encode("utf-8", "replace"), info) for value, size, name, info in entries]
        return cls(symbol_table.SymbolTable(symbol_table.build(packed)), "core", None)

    def lookup(self, address: int) -> tuple[Location, ...]:
        """Functions at an address, innermost inlined one first; () when no symbol covers it."""
        found = self._table.find(address)
        if self._lines is not None:
            locations = self._by_lines(self._lines, address, found)
            if locations:
                return locations
        return () if found is None else (Location(demangle(found[0]), None, None, False),)

    def merged(self, address: int, line: int) -> tuple[Location, ...]:
        """Inlined functions without an instruction of their own, merged into that at an address; see mergedinlines."""
        if self._lines is None:
            return ()
        content = self._lines.content

        def read() -> bytes:
            from postmortem.symbols.mergedinlines import merged_at

            return msgspec.json.encode(merged_at(content, address, line))

        stored = self._lines.remembered("merged", f"{address:016x}{line:08x}", read)
        try:
            found = msgspec.json.decode(stored, type=list[tuple[str, int | None]])
        except msgspec.MsgspecError:
            return ()
        return tuple(Location(demangle(name), None, at, True) for name, at in found)

    def _by_lines(self, lines: Lines, address: int, found: tuple[str, int, int] | None) -> tuple[Location, ...]:
        rows = lines.lookup(address)
        if found is None and not any(row.line for row in rows):
            return ()  # a symbol stretched over code that has none
        last = len(rows) - 1
        result = []
        for index, row in enumerate(rows):
            name = demangle(row.symbol) if row.symbol else None
            if index == last and found is not None:
                # The symbol table tells main from main.cold, and has linkage names where DWARF has not.
                name = demangle(found[0])
            result.append(Location(name, row.file, row.line, index < last))
        return tuple(result)

    def address_of(self, name: str) -> int | None:
        """The link-time address of a symbol by its linkage name; of several a global one, else the lowest."""
        return self._table.address_of(name)

    def addresses_of(self, prefix: str) -> Iterator[tuple[str, int, int]]:
        """(linkage name, address, size) of all symbols whose linkage name begins so, by address."""
        return self._table.with_prefix(prefix)

    def symbol_at(self, address: int) -> tuple[str, int, int] | None:
        """(demangled name, start, size) of the function or data object that covers an address."""
        return symbol_table.readable(self._table.find(address))


def open_symbols(
    path: Path,
    build_id: str | None,
    places: Places,
    cache_dir: Path | None,
) -> SymbolFile | None:
    """The best symbols for the ELF file at `path`, or None when it has none. Damage counts as none.

    With a build_id a file of another build is not used, and a separate debug file, which is looked for in `places`,
    serves without the file.
    """
    opened = open_elf(path, places.sysroot)
    own = opened if isinstance(opened, ElfFile) else None
    if own is not None and build_id and (own.sections.build_id or build_id) != build_id:
        own = None
    sections = None if own is None else own.sections
    identity = build_id or (None if sections is None else sections.build_id)
    debug = find_debug_file(Wanted(path, identity, sections), places)
    files = ([debug.sections] if debug else []) + ([sections] if sections else [])
    if not files:
        return None
    cache = Cache(cache_dir)
    key = _key(identity, files)
    table = _stored(cache, key)
    if table is None:
        data = symbol_table.build(_collect(files))
        cache.write(key, _KIND, [data])
        table = symbol_table.SymbolTable(data)
    lines = None
    if debug is not None and debug.sections.has_dwarf:
        lines = Lines(debug.path, debug.sections.data, identity or key, debug.sections.first_address, cache)
    elif own is not None and own.sections.has_dwarf:
        lines = Lines(own.path, own.sections.data, identity or key, own.sections.first_address, cache)
    if not len(table) and lines is None:
        return None
    return SymbolFile(table, debug.how if debug else _source(files[-1]), lines)


def _key(identity: str | None, files: Sequence[Sections]) -> str:
    """Build-id, and a digest of the tables: a build may be stripped or not, and a build-id forged."""
    from hashlib import sha1

    digest = sha1(usedforsecurity=False)
    for sections in files:
        for table in sections.symbol_tables():
            digest.update(len(table).to_bytes(8, "little"))
            digest.update(table)
    return (identity or "")[:40] + digest.hexdigest()


def _stored(cache: Cache, key: str) -> symbol_table.SymbolTable | None:
    data = cache.read(key, _KIND)
    if data is None:
        return None
    try:
        return symbol_table.SymbolTable(data)
    except ValueError:
        return None


def _source(sections: Sections) -> str:
    if sections.find(b".symtab") is not None:
        return "symtab"
    if sections.find(b".gnu_debugdata") is not None:
        return "gnu_debugdata"
    return "gopclntab" if next(sections.go_functions(), None) is not None else "dynsym"


def _collect(files: Sequence[Sections]) -> list[Entry]:
    """Symbols of all tables, each (address, name) once."""
    entries: dict[tuple[int, bytes], Entry] = {}
    for sections in files:
        for entry in _entries(sections):
            entries.setdefault((entry.value, entry.name), entry)
    return list(entries.values())


def _entries(sections: Sections) -> Iterator[Entry]:
    own = sections.symbols(SHT_SYMTAB)
    yield from own or sections.go_functions()
    yield from sections.symbols(SHT_DYNSYM)
    try:
        mini = sections.mini_debug_info()
        held = None if mini is None else Sections(mini)
    except ParseError:
        return  # damaged mini debug info: the other tables still serve
    if held is not None:
        yield from held.symbols(SHT_SYMTAB)
