"""Builds small ELF files with sections, by its own struct formats."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Symbol(NamedTuple):
    """A row of a symbol table; section 1 is .text, 2 is .data."""

    name: str
    value: int
    size: int
    info: int = 0x12
    section: int = 1


class Section(NamedTuple):
    """A section to write; link is an index into the written sections, the null section being 0."""

    name: str
    type: int
    content: bytes
    flags: int = 0
    address: int = 0
    size: int | None = None
    link: int = 0


def symbol_table(symbols: list[Symbol]) -> tuple[bytes, bytes]:
    """(.symtab, .strtab)"""
    strings = bytearray(b"\0")
    rows = bytearray(24)
    for symbol in symbols:
        rows += struct.pack("<IBBHQQ", len(strings), symbol.info, 0, symbol.section, symbol.value, symbol.size)
        strings += symbol.name.encode() + b"\0"
    return bytes(rows), bytes(strings)


def build_id_note(build_id: str) -> bytes:
    """NT_GNU_BUILD_ID."""
    raw = bytes.fromhex(build_id)
    return struct.pack("<III", 4, len(raw), 3) + b"GNU\0" + raw.ljust((len(raw) + 3) // 4 * 4, b"\0")


def elf_file(
    symtab: list[Symbol] | None = None,
    *,
    dynsym: list[Symbol] | None = None,
    build_id: str | None = None,
    debug_link: tuple[str, int] | None = None,
    mini: bytes | None = None,
) -> bytes:
    """A shared object with .text at 0x1000 (0x4000 bytes) and .data at 0x8000 (0x1000 bytes), both NOBITS."""
    sections = [
        Section(".text", 8, b"", flags=6, address=0x1000, size=0x4000),
        Section(".data", 8, b"", flags=3, address=0x8000, size=0x1000),
    ]
    for name, strings_name, kind, symbols in (
        (".symtab", ".strtab", 2, symtab),
        (".dynsym", ".dynstr", 11, dynsym),
    ):
        if symbols is not None:
            rows, strings = symbol_table(symbols)
            sections.append(Section(name, kind, rows, link=len(sections) + 2))
            sections.append(Section(strings_name, 3, strings))
    if build_id is not None:
        sections.append(Section(".note.gnu.build-id", 7, build_id_note(build_id), flags=2))
    if debug_link is not None:
        name, crc = debug_link
        raw = name.encode() + b"\0"
        sections.append(
            Section(".gnu_debuglink", 1, raw.ljust((len(raw) + 3) // 4 * 4, b"\0") + struct.pack("<I", crc))
        )
    if mini is not None:
        sections.append(Section(".gnu_debugdata", 1, mini))
    return write(sections)


def write(sections: list[Section]) -> bytes:
    """The file: header, contents at multiples of 8, section names, section headers."""
    names = bytearray(b"\0")
    offsets = []
    for section in [*sections, Section(".shstrtab", 3, b"")]:
        offsets.append(len(names))
        names += section.name.encode() + b"\0"
    sections = [*sections, Section(".shstrtab", 3, bytes(names))]
    body = bytearray(64)
    headers = bytearray(64)
    for section, name in zip(sections, offsets, strict=True):
        body += bytes(-len(body) % 8)
        size = len(section.content) if section.size is None else section.size
        headers += struct.pack(
            "<IIQQQQIIQQ",
            name, section.type, section.flags, section.address, len(body), size, section.link, 0, 4,
            24 if section.type in (2, 11) else 0,
        )  # fmt: skip
        body += section.content
    body += bytes(-len(body) % 8)
    struct.pack_into(
        "<16sHHIQQQIHHHHHH", body, 0,
        b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 0, len(body), 0, 64, 56, 0, 64, len(sections) + 1, len(sections),
    )  # fmt: skip
    return bytes(body + headers)
