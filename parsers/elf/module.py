"""The loaded image of an executable or shared object: what its program headers and dynamic section say.

Read through a function of (address, size), so the image may lie in a file or in a dead process.
Sources: gABI "Program Header", "Dynamic Section"; LSB "Exception Frames"; glibc <link.h> (r_debug).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from parsers.elf import header as elf
from parsers.elf import notes
from parsers.errors import ParseError
from parsers.limits import LIMITS

Read = Callable[[int, int], bytes | None]

DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SONAME, DT_HASH, DT_GNU_HASH, DT_DEBUG = 5, 6, 10, 14, 4, 0x6FFFFEF5, 21
_DYN = struct.Struct("<qQ")
_SYM = struct.Struct("<IBBHQQ")
_PAGE = 4096


class Image(NamedTuple):
    """An ELF image at `start`; bias is what is added to its link-time addresses.

    eh_frame_hdr: (address, size) in memory. end: end of the last PT_LOAD. note_names: whose notes it has.
    """

    start: int
    end: int
    bias: int
    type: int
    entry: int
    build_id: str | None
    eh_frame_hdr: tuple[int, int] | None
    dynamic: tuple[int, int] | None
    tls: elf.ProgramHeader | None
    loads: tuple[elf.ProgramHeader, ...]
    note_names: frozenset[bytes] = frozenset()


class Symbol(NamedTuple):
    """A dynamic symbol: link-time value, size in bytes, name, st_info, section index."""

    value: int
    size: int
    name: str
    info: int
    section: int


class LinkMapEntry(NamedTuple):
    """struct link_map of glibc and musl: load bias, path, address of the dynamic section."""

    bias: int
    path: str
    dynamic: int


def read_image(read: Read, start: int) -> Image | None:
    """The image whose ELF header lies at address `start`; None when its first bytes can't be had."""
    head = read(start, 64)
    if head is None:
        return None
    try:
        header = elf.read_header(head)
    except ParseError:
        return None
    if header.type not in (elf.ET_EXEC, elf.ET_DYN) or header.phentsize != 56 or header.phnum > LIMITS.module_headers:
        return None
    table = read(start + header.phoff, 56 * header.phnum)
    if table is None:
        return None
    headers = [elf.ProgramHeader._make(fields) for fields in struct.iter_unpack("<IIQQQQQQ", table)]
    loads = tuple(entry for entry in headers if entry.type == elf.PT_LOAD)
    if not loads:
        return None
    bias = start - (loads[0].vaddr - loads[0].offset) if loads[0].offset < 4096 else start - loads[0].vaddr
    if header.type == elf.ET_EXEC:
        bias = 0
    identity = frame_header = dynamic = tls = None
    names: set[bytes] = set()
    segments = 0
    for entry in headers:
        address = bias + entry.vaddr
        if entry.type == elf.PT_NOTE and segments < LIMITS.module_note_segments and entry.filesz <= LIMITS.module_notes:
            segments += 1
            content = read(address, entry.filesz)
            if content is not None:
                identity = identity or notes.build_id(content, 0, len(content), entry.align)
                names.update(note.name for note in notes.iterate(content, 0, len(content), entry.align))
        elif entry.type == elf.PT_GNU_EH_FRAME:
            frame_header = (address, entry.memsz)
        elif entry.type == elf.PT_DYNAMIC:
            dynamic = (address, entry.memsz)
        elif entry.type == elf.PT_TLS:
            tls = entry
    end = bias + max(entry.vaddr + entry.memsz for entry in loads)
    return Image(
        start, end, bias, header.type, header.entry, identity, frame_header, dynamic, tls, loads, frozenset(names)
    )


def dynamic_entries(read: Read, dynamic: tuple[int, int]) -> dict[int, int]:
    """The dynamic section as tag → value; the first of each tag."""
    address, size = dynamic
    size = min(size, LIMITS.module_dynamic)
    data = read(address, size // 16 * 16)
    entries: dict[int, int] = {}
    if data is None:
        return entries
    for tag, value in _DYN.iter_unpack(data):
        if tag == 0:
            break
        entries.setdefault(tag, value)
    return entries


def _pointer(image: Image, value: int) -> int:
    """A d_ptr in memory: ld.so relocates them in place for libraries, not in the vDSO nor in a file."""
    return value if image.start <= value < image.end else value + image.bias


def soname(read: Read, image: Image) -> str | None:
    """DT_SONAME, if the dynamic section and string table can be read."""
    if image.dynamic is None:
        return None
    entries = dynamic_entries(read, image.dynamic)
    if DT_SONAME not in entries or DT_STRTAB not in entries:
        return None
    name = _string(read, _pointer(image, entries[DT_STRTAB]) + entries[DT_SONAME], LIMITS.module_soname)
    return notes.text(name) or None


def _string(read: Read, address: int, limit: int) -> bytes:
    """The bytes up to a NUL or to what can't be read, at most `limit`: by pages, since a read gives all or nothing."""
    name = b""
    while len(name) < limit:
        size = min(limit - len(name), _PAGE - (address + len(name)) % _PAGE)
        data = read(address + len(name), size)
        if data is None:
            break
        end = data.find(b"\0")
        if end >= 0:
            return name + data[:end]
        name += data
    return name


def dynamic_symbols(
    read: Read, image: Image, most: int = LIMITS.dynamic_symbols, room: int = LIMITS.dynamic_names
) -> tuple[list[Symbol], dict[str, int]]:
    """.dynsym of the image, counted by DT_HASH or DT_GNU_HASH; empty when it can't be read.

    And how many were left out by name of a limit. most: symbols; room: bytes of all names, which may overlap.
    """
    left_out: dict[str, int] = {}
    if image.dynamic is None:
        return [], left_out
    entries = dynamic_entries(read, image.dynamic)
    if DT_SYMTAB not in entries or DT_STRTAB not in entries:
        return [], left_out
    count = 0
    if DT_HASH in entries:
        head = read(_pointer(image, entries[DT_HASH]), 8)
        count = int.from_bytes(head[4:8], "little") if head else 0
    if not count and DT_GNU_HASH in entries:
        count = _gnu_hash_count(read, _pointer(image, entries[DT_GNU_HASH]))
    claimed, count = count, min(count, most)
    table = read(_pointer(image, entries[DT_SYMTAB]), 24 * count) if count else None
    strings = read(_pointer(image, entries[DT_STRTAB]), min(entries.get(DT_STRSZ, 0), LIMITS.dynamic_names))
    if claimed > count:
        left_out["dynamic_symbols"] = claimed - count
    if table is None or strings is None:
        return [], left_out
    result = []
    for number, (name, info, _, section, value, size) in enumerate(_SYM.iter_unpack(table)):
        if section and value and name < len(strings):
            end = strings.find(b"\0", name, name + LIMITS.string)
            raw = strings[name : end if end >= 0 else name + LIMITS.string]
            room -= len(raw)
            if room < 0:
                left_out["dynamic_names"] = count - number
                break
            result.append(Symbol(value, size, notes.text(raw), info, section))
    return result, left_out


def _gnu_hash_count(read: Read, address: int) -> int:
    """Number of symbols by DT_GNU_HASH: the end of the chain of the highest bucket, plus one."""
    head = read(address, 16)
    if head is None:
        return 0
    buckets, first, bloom, _ = struct.unpack("<IIII", head)
    if buckets > LIMITS.symbols or bloom > LIMITS.symbols:
        return 0
    table = read(address + 16 + 8 * bloom, 4 * buckets)
    if not table:
        return 0
    index = max(struct.unpack(f"<{buckets}I", table))
    if index < first:
        return int(first)
    chain = address + 16 + 8 * bloom + 4 * buckets
    while index - first < LIMITS.symbols:
        # The rest of a page at a time: reads give all or nothing, and pages are what there is or is not.
        place = chain + 4 * (index - first)
        block = read(place, max(4, (_PAGE - place % _PAGE) & ~3))
        if block is None:
            return 0
        for last in block[0 : len(block) & ~3 : 4]:
            index += 1
            if last & 1:
                return int(index)
    return 0


def link_map(read: Read, debug: int) -> list[LinkMapEntry]:
    """The list that starts at r_debug.r_map (`debug` is the value of DT_DEBUG)."""
    head = read(debug, 16)
    entries: list[LinkMapEntry] = []
    if head is None:
        return entries
    node = int.from_bytes(head[8:16], "little")
    seen = set()
    left = LIMITS.path_bytes
    while node and node not in seen and len(entries) < LIMITS.link_map_entries:
        seen.add(node)
        data = read(node, 32)
        if data is None:
            break
        bias, name, dynamic, following = struct.unpack("<QQQQ", data)
        path = _string(read, name, LIMITS.string)
        left -= len(path)
        if left < 0:
            break
        entries.append(LinkMapEntry(bias, notes.text(path), dynamic))
        node = following
    return entries
