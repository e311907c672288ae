"""Bytes of a section, decompressed where it is stored compressed (gABI, "Section Compression").

Elf64_Chdr, little-endian, before the stream: u32 ch_type (1 zlib, 2 zstd), u32 reserved, u64 ch_size, u64 ch_addralign.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from parsers.errors import ParseError
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from parsers.elf.header import Buffer, SectionHeader

SHF_COMPRESSED = 0x800
_CHDR = struct.Struct("<IIQQ")
_ZLIB, _ZSTD = 1, 2


def section_bytes(content: Buffer, section: SectionHeader, largest: int = LIMITS.section_bytes) -> bytes:
    """What the section holds, cut where the file ends. Raises ParseError for a stream that is damaged or too large."""
    stored = bytes(content[section.offset : section.offset + section.size])
    if not section.flags & SHF_COMPRESSED:
        return stored
    if len(stored) < _CHDR.size:
        raise ParseError("Elf64_Chdr", section.offset, f"{len(stored)} bytes, its header takes {_CHDR.size}")
    kind, _, size, _ = _CHDR.unpack_from(stored)
    if size > largest:
        raise ParseError("Elf64_Chdr.ch_size", section.offset + 8, f"is {size}, allowed are {largest}")
    stream = stored[_CHDR.size :]
    if kind == _ZLIB:
        data = _inflated(stream, size, section)
    elif kind == _ZSTD:
        data = _unzstd(stream, size, section)
    else:
        raise ParseError("Elf64_Chdr.ch_type", section.offset, f"is {kind}, known are 1 (zlib) and 2 (zstd)")
    if len(data) != size:
        raise ParseError("compressed section", section.offset, f"gives {len(data)} bytes, not {size}")
    return data


def promises_too_much(content: Buffer, section: SectionHeader) -> bool:
    """Whether the header of a compressed section gives a size that no stream of its length has.

    Also of the older form, .zdebug_*: "ZLIB", then the size as a big-endian u64. A decompressor that believes it
    allocates that much before it reads the stream.
    """
    head = bytes(content[section.offset : section.offset + min(section.size, _CHDR.size)])
    if section.flags & SHF_COMPRESSED:
        size = _CHDR.unpack(head)[2] if len(head) == _CHDR.size else 0
    elif head.startswith(b"ZLIB") and len(head) >= 12:
        size = int.from_bytes(head[4:12], "big")
    else:
        return False
    return bool(size > LIMITS.inflation * section.size)


def _inflated(stream: bytes, size: int, section: SectionHeader) -> bytes:
    try:
        return zlib.decompressobj().decompress(stream, size) if size else b""
    except zlib.error as damage:
        raise ParseError("compressed section", section.offset, str(damage)) from damage


def _unzstd(stream: bytes, size: int, section: SectionHeader) -> bytes:
    import zstandard  # few files are compressed so

    try:
        return zstandard.ZstdDecompressor().stream_reader(stream).read(size)
    except zstandard.ZstdError as damage:
        raise ParseError("compressed section", section.offset, str(damage)) from damage
