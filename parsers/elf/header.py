"""ELF header, program headers and section headers (System V gABI, "ELF Header", "Program Header").

All values little-endian, 64-bit class. Readers take any buffer that can be sliced
(bytes, memoryview, FileBytes) and copy the tables out of it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from parsers.errors import ParseError, Truncated, Unsupported
from parsers.filebytes import FileBytes
from parsers.limits import LIMITS, Limits

Buffer = bytes | memoryview | FileBytes

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_X86_64, EM_AARCH64 = 62, 183
MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    EM_X86_64: "x86_64",
    EM_AARCH64: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_TLS = 1, 2, 3, 4, 7
PT_GNU_EH_FRAME = 0x6474E550
PT_GNU_STACK = 0x6474E551
PF_X, PF_W, PF_R = 1, 2, 4
PN_XNUM = 0xFFFF

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_SHDR = struct.Struct("<IIQQQQIIQQ")


class Header(NamedTuple):
    """Elf64_Ehdr; offsets in bytes from the start of the file."""

    type: int
    machine: int
    entry: int
    phoff: int
    shoff: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int

    @property
    def machine_name(self) -> str:
        """The machine in words."""
        return MACHINES.get(self.machine, f"machine {self.machine}")


class ProgramHeader(NamedTuple):
    """Elf64_Phdr; field order of the gABI."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


class SectionHeader(NamedTuple):
    """Elf64_Shdr; `name` is an offset into the section name string table."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    addralign: int
    entsize: int


def read_header(data: Buffer) -> Header:
    """Elf64_Ehdr at the start of `data`. Raises ParseError, Truncated, Unsupported."""
    head = bytes(data[: _EHDR.size])
    if len(head) < 16:
        raise Truncated("ELF identification", 0, f"the file has {len(head)} bytes, 16 are needed")
    if head[:4] != b"\x7fELF":
        raise ParseError("ELF identification", 0, f"starts with {head[:4].hex()}, not 7f454c46")
    if head[4] != 2:
        raise Unsupported("ELF identification", 4, f"class {head[4]}, not 2 (64-bit)")
    if head[5] != 1:
        raise Unsupported("ELF identification", 5, f"data encoding {head[5]}, not 1 (little-endian)")
    if len(head) < _EHDR.size:
        raise Truncated("Elf64_Ehdr", 0, f"the file has {len(head)} bytes, {_EHDR.size} are needed")
    (_, type_, machine, _, entry, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx) = _EHDR.unpack(head)
    return Header(type_, machine, entry, phoff, shoff, phentsize, phnum, shentsize, shnum, shstrndx)


def read_program_headers(data: Buffer, header: Header, limits: Limits = LIMITS) -> tuple[list[ProgramHeader], int]:
    """All program headers that the file still holds, and how many it claims.

    With PN_XNUM the real count is sh_info of section header 0 (gABI, extended numbering; kernel
    fs/binfmt_elf.c fill_extnum_info). Raises ParseError when the table can't be what it claims.
    """
    count = header.phnum
    if count == PN_XNUM:
        if header.shoff and header.shoff + _SHDR.size <= len(data):
            count = _section_header(data, header.shoff).info
        else:
            # The section header lies behind the segments; a cut core has lost it. Take what fits.
            count = limits.program_headers
    if count == 0:
        return [], 0
    if header.phentsize != _PHDR.size:
        raise ParseError("e_phentsize", 54, f"is {header.phentsize}, a 64-bit program header has {_PHDR.size}")
    count = min(count, limits.program_headers)
    available = max(0, min(count, (len(data) - header.phoff) // _PHDR.size))
    end = header.phoff + available * _PHDR.size
    table = data[header.phoff : end]
    headers = [ProgramHeader._make(fields) for fields in _PHDR.iter_unpack(_whole(table, _PHDR.size))]
    available = min(available, len(headers))
    if header.phnum == PN_XNUM and count == limits.program_headers:
        headers = [entry for entry in headers if entry.type in (PT_LOAD, PT_NOTE)]
        count = max(count, len(headers)) if available < count else len(headers)
    return headers, count


def read_section_headers(data: Buffer, header: Header, limits: Limits = LIMITS) -> list[SectionHeader]:
    """All section headers that lie inside the file; empty when there are none."""
    if header.shoff == 0 or header.shentsize != _SHDR.size or header.shoff + _SHDR.size > len(data):
        return []
    count = header.shnum
    if count == 0:
        count = _section_header(data, header.shoff).size
    count = min(count, limits.section_headers, (len(data) - header.shoff) // _SHDR.size)
    table = data[header.shoff : header.shoff + count * _SHDR.size]
    return [SectionHeader._make(fields) for fields in _SHDR.iter_unpack(_whole(table, _SHDR.size))]


def _section_header(data: Buffer, offset: int) -> SectionHeader:
    """One section header; all zeros where its bytes can't be read."""
    return SectionHeader(*_SHDR.unpack(bytes(data[offset : offset + _SHDR.size]).ljust(_SHDR.size, b"\0")))


def _whole(table: bytes | memoryview, size: int) -> bytes | memoryview:
    """As many entries as could be read: a file that is cut meanwhile ends within one."""
    return table[: len(table) // size * size]
