"""Symbol tables and what leads to separate debug information, from an ELF file's section headers.

Sources: gABI "Symbol Table", "Sections"; GDB manual "Debugging Information in Separate Files"
(.gnu_debuglink: name, NUL, padding to 4, CRC-32) and "MiniDebugInfo" (.gnu_debugdata: an xz stream that
holds an ELF file with a .symtab).
"""

from __future__ import annotations

import lzma
import struct
from typing import NamedTuple

from parsers.elf import header as elf
from parsers.elf import notes
from parsers.errors import ParseError
from parsers.limits import LIMITS

SHT_SYMTAB, SHT_NOTE, SHT_NOBITS, SHT_DYNSYM = 2, 7, 8, 11
SHF_ALLOC = 2
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC = 0, 1, 2, 10
_SYM = struct.Struct("<IBBHQQ")
_MINI_LIMIT = 1 << 28


class Entry(NamedTuple):
    """A defined symbol: link-time value, size in bytes, raw name, st_info (binding << 4 | type)."""

    value: int
    size: int
    name: bytes
    info: int


class DebugLink(NamedTuple):
    """.gnu_debuglink: file name of the separate debug file and the CRC-32 of its whole content."""

    name: str
    crc: int


class Sections:
    """The named sections of one ELF file. Raises ParseError when it is not one."""

    def __init__(self, data: elf.Buffer) -> None:
        self._data = data
        header = elf.read_header(data)
        headers = elf.read_section_headers(data, header)
        self._headers = headers
        self._named: dict[bytes, elf.SectionHeader] = {}
        if header.shstrndx < len(headers):
            strings = headers[header.shstrndx]
            for section in headers:
                start = strings.offset + section.name
                name = bytes(data[start : start + 64]).split(b"\0", 1)[0]
                self._named.setdefault(name, section)

    def find(self, name: bytes) -> elf.SectionHeader | None:
        """The section header of that name, if its content lies in the file."""
        section = self._named.get(name)
        if section is None or section.type == SHT_NOBITS or section.offset + section.size > len(self._data):
            return None
        return section

    def content(self, name: bytes) -> bytes | None:
        """The bytes of a section."""
        section = self.find(name)
        return None if section is None else bytes(self._data[section.offset : section.offset + section.size])

    @property
    def has_dwarf(self) -> bool:
        """Whether there is .debug_info to take lines and inlines from."""
        return self.find(b".debug_info") is not None or self.find(b".zdebug_info") is not None

    @property
    def build_id(self) -> str | None:
        """The GNU build-id, lower-case hex."""
        for section in self._headers:
            if section.type == SHT_NOTE and section.offset + section.size <= len(self._data):
                identity = notes.build_id(
                    self._data, section.offset, min(section.size, 1 << 16), section.addralign
                )
                if identity is not None:
                    return identity
        return None

    @property
    def debug_link(self) -> DebugLink | None:
        """.gnu_debuglink, if there is one with a plain file name."""
        content = self.content(b".gnu_debuglink")
        if content is None or len(content) < 8:
            return None
        name = notes.text(content.split(b"\0", 1)[0])
        if not name or "/" in name or name in (".", ".."):
            return None
        (crc,) = struct.unpack_from("<I", content, len(content) - 4)
        return DebugLink(name, crc)

    def mini_debug_info(self) -> bytes | None:
        """The ELF file inside .gnu_debugdata, at most 256 MiB of it."""
        content = self.content(b".gnu_debugdata")
        if content is None:
            return None
        try:
            return lzma.LZMADecompressor().decompress(content, _MINI_LIMIT)
        except lzma.LZMAError as damage:
            raise ParseError(".gnu_debugdata", 0, str(damage)) from damage

    def symbols(self, kind: int) -> list[Entry]:
        """Defined functions and data objects of .symtab (SHT_SYMTAB) or .dynsym (SHT_DYNSYM)."""
        table = next((section for section in self._headers if section.type == kind), None)
        if table is None or table.link >= len(self._headers) or table.offset + table.size > len(self._data):
            return []
        linked = self._headers[table.link]
        strings = bytes(self._data[linked.offset : linked.offset + linked.size])
        count = min(table.size // _SYM.size, LIMITS.symbols)
        allocated = [bool(section.flags & SHF_ALLOC) for section in self._headers]
        result = []
        view = memoryview(self._data)[table.offset : table.offset + count * _SYM.size]
        try:
            for name, info, _, section, value, size in _SYM.iter_unpack(view):
                if info & 15 not in (STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC) or not section or not name:
                    continue
                if section < len(allocated) and not allocated[section]:
                    continue
                if section >= 0xFF00:
                    continue
                end = strings.find(b"\0", name)
                if end > name:
                    raw = strings[name : min(end, name + LIMITS.string)]
                    # .symtab writes versioned names out: raise@@GLIBC_2.2.5
                    result.append(Entry(value, size, raw.split(b"@", 1)[0] or raw, info))
        finally:
            view.release()
        return result
