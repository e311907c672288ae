"""Symbol tables and what leads to separate debug information, from an ELF file's section headers.

Sources: gABI "Symbol Table", "Sections"; GDB manual "Debugging Information in Separate Files"
(.gnu_debuglink: name, NUL, padding to 4, CRC-32) and "MiniDebugInfo" (.gnu_debugdata: an xz stream that
holds an ELF file with a .symtab).
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.elf import gopclntab, notes
from parsers.elf import header as elf
from parsers.elf.sections import promises_too_much
from parsers.errors import ParseError
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

SHT_SYMTAB, SHT_NOTE, SHT_NOBITS, SHT_DYNSYM = 2, 7, 8, 11
SHF_ALLOC = 2
SHN_LORESERVE = 0xFF00
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC = 0, 1, 2, 10
_KINDS = frozenset((STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC))
_SYM = struct.Struct("<IBBHQQ")
_NOTE_SECTIONS = 64
_MINI_LIMIT = LIMITS.symbols_mini_limit
_NAMES_SMALL = 1 << 16
_NAMES_LIMIT = LIMITS.symbols_names_limit
"""Bytes of one string table, and of all names taken from it: names may overlap, so both need a bound."""


class Entry(NamedTuple):
    """A defined symbol: link-time value, size in bytes, raw name, st_info (binding << 4 | type).

    section_end: link-time address after the last byte of its section; 0 when unknown.
    """

    value: int
    size: int
    name: bytes
    info: int
    section_end: int = 0


class DebugLink(NamedTuple):
    """.gnu_debuglink: file name of the separate debug file and the CRC-32 of its whole content."""

    name: str
    crc: int


class Sections:
    """The named sections of one ELF file. Raises ParseError when it is not one."""

    def __init__(self, data: elf.Buffer) -> None:
        self._data = data
        self._header = header = elf.read_header(data)
        headers = elf.read_section_headers(data, header)
        self._headers = headers
        self._named: dict[bytes, elf.SectionHeader] = {}
        if header.shstrndx < len(headers):
            strings = headers[header.shstrndx]
            for section in headers:
                start = strings.offset + section.name
                name = bytes(data[start : start + 64]).split(b"\0", 1)[0]
                self._named.setdefault(name, section)

    @property
    def data(self) -> elf.Buffer:
        """The bytes of the file."""
        return self._data

    def find(self, name: bytes) -> elf.SectionHeader | None:
        """The section header of that name, if its content lies in the file."""
        section = self._named.get(name)
        if section is None or section.type == SHT_NOBITS or section.offset + section.size > len(self._data):
            return None
        return section

    @property
    def first_address(self) -> int:
        """The link-time address of the first PT_LOAD: 0, but for an executable linked to a fixed address."""
        headers, _ = elf.read_program_headers(self._data, self._header)
        return next((load.vaddr for load in headers if load.type == elf.PT_LOAD), 0)

    @property
    def lacks_code(self) -> bool:
        """Whether the code was taken out, as of a separate debug file: .text is there, its bytes are not."""
        text = self._named.get(b".text")
        return text is not None and text.type == SHT_NOBITS

    @functools.cached_property
    def has_dwarf(self) -> bool:
        """Whether there is .debug_info to take lines and inlines from, and no debug section with an absurd size."""
        if self.find(b".debug_info") is None and self.find(b".zdebug_info") is None:
            return False
        named = (self.find(name) for name in self._named if name.startswith((b".debug_", b".zdebug_")))
        return not any(promises_too_much(self._data, section) for section in named if section is not None)

    @property
    def build_id(self) -> str | None:
        """The GNU build-id, lower-case hex."""
        left = _NOTE_SECTIONS
        for section in self._headers:
            left -= section.type == SHT_NOTE
            if left < 0:
                break
            if section.type == SHT_NOTE and section.offset + section.size <= len(self._data):
                identity = notes.build_id(self._data, section.offset, min(section.size, 1 << 16), section.addralign)
                if identity is not None:
                    return identity
        return None

    @property
    def debug_link(self) -> DebugLink | None:
        """.gnu_debuglink, if there is one with a plain file name."""
        section = self.find(b".gnu_debuglink")
        if section is None or not 8 <= section.size <= LIMITS.string:
            return None
        content = bytes(self._data[section.offset : section.offset + section.size])
        name = notes.text(content.split(b"\0", 1)[0])
        if not name or "/" in name or name in (".", ".."):
            return None
        (crc,) = struct.unpack_from("<I", content, len(content) - 4)
        return DebugLink(name, crc)

    def mini_debug_info(self) -> bytes | None:
        """The ELF file inside .gnu_debugdata, at most 64 MiB of it. Raises ParseError when damaged."""
        section = self.find(b".gnu_debugdata")
        if section is None:
            return None
        import lzma  # only files with mini debug info pay for it

        content = self._data[section.offset : section.offset + section.size]
        try:
            decompressor = lzma.LZMADecompressor(memlimit=_MINI_LIMIT)
            return decompressor.decompress(content, _MINI_LIMIT)
        except lzma.LZMAError as damage:
            raise ParseError(".gnu_debugdata", section.offset, str(damage)) from damage

    def go_functions(self) -> Iterator[Entry]:
        """The functions of Go's own table, which is there when the symbols are stripped."""
        section, text = self._go_table(), self.find(b".text")
        if section is None or text is None:
            return
        for found in gopclntab.functions(self._data[section.offset : section.offset + section.size], text.addr):
            yield Entry(found.start, found.size, found.name, STT_FUNC, text.addr + text.size)

    def go_places(self) -> gopclntab.Table | None:
        """Go's own table, to be asked about single addresses; None without one of a known form."""
        section, text = self._go_table(), self.find(b".text")
        if section is None or text is None:
            return None
        try:
            return gopclntab.Table(self._data[section.offset : section.offset + section.size], text.addr)
        except ValueError:
            return None

    def _go_table(self) -> elf.SectionHeader | None:
        section = self.find(b".gopclntab") or self.find(b".data.rel.ro.gopclntab")
        if section is None or section.type == SHT_NOBITS or section.offset + section.size > len(self._data):
            return None
        return section

    def symbol_tables(self) -> Iterator[bytes | memoryview]:
        """The bytes of all that symbols are read from, to tell one state of a file from another."""
        for kind in (SHT_SYMTAB, SHT_DYNSYM):
            table = self._table(kind)
            if table is not None:
                for section in table:
                    end = section.offset + min(section.size, _NAMES_LIMIT)
                    yield self._data[section.offset : end]
        for whole in (self.find(b".gnu_debugdata"), self._go_table()):
            if whole is not None:
                yield self._data[whole.offset : whole.offset + min(whole.size, _NAMES_LIMIT)]

    def _table(self, kind: int) -> tuple[elf.SectionHeader, elf.SectionHeader] | None:
        """The first symbol table of a kind and its string table, if both lie in the file."""
        table = next((section for section in self._headers if section.type == kind), None)
        if table is None or table.link >= len(self._headers):
            return None
        strings = self._headers[table.link]
        for section in (table, strings):
            if section.type == SHT_NOBITS or section.offset + section.size > len(self._data):
                return None
        return table, strings

    def symbols(self, kind: int) -> list[Entry]:
        """Defined functions and data objects of .symtab (SHT_SYMTAB) or .dynsym (SHT_DYNSYM)."""
        found = self._table(kind)
        if found is None:
            return []
        table, linked = found
        strings = bytes(self._data[linked.offset : linked.offset + min(linked.size, _NAMES_LIMIT)])
        count = min(table.size // _SYM.size, LIMITS.symbols)
        ends = [section.addr + section.size if section.flags & SHF_ALLOC else None for section in self._headers]
        # Separate debug files keep all section headers, so indices hold there too.
        sections = min(len(ends), SHN_LORESERVE)
        result = []
        # Linkers let names share their ends, which saves little: much more than the table's size is no linker's work.
        budget = min(_NAMES_LIMIT, 2 * len(strings) + _NAMES_SMALL)
        rows = self._data[table.offset : table.offset + count * _SYM.size]
        for name, info, _, section, value, size in _SYM.iter_unpack(rows[: len(rows) // _SYM.size * _SYM.size]):
            if not section or not name or info & 15 not in _KINDS or section >= sections:
                continue
            section_end = ends[section]
            if section_end is None:
                continue
            end = strings.find(b"\0", name, name + LIMITS.string)
            if end < 0:
                # No end in sight: a name beyond the table, or one too long to be shown whole.
                end = min(len(strings), name + LIMITS.string)
            if end <= name:
                continue
            budget -= end - name
            if budget < 0:
                break
            raw = strings[name:end]
            # .symtab writes versioned names out: raise@@GLIBC_2.2.5
            if b"@" in raw:
                raw = raw.split(b"@", 1)[0] or raw
            result.append(Entry(value, size, raw, info, section_end))
        return result
