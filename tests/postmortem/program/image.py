"""A small loadable ELF image, packed by formats of its own."""

from __future__ import annotations

import struct

from tests.parsers.elf.elf_file import build_id_note

BASE = 0x7F0000000000


def image(build_id: str | None, *, text: bytes = b"code", file_type: int = 3) -> bytes:
    """Header and notes at 0, code at 0x1000, data at 0x2000; three segments of a page each."""
    note = b"" if build_id is None else build_id_note(build_id)
    loads = [(4, 0, 0x1000), (5, 0x1000, 0x1000), (6, 0x2000, 0x1000)]
    headers = b"".join(struct.pack("<IIQQQQQQ", 1, flags, at, at, at, size, size, 0x1000) for flags, at, size in loads)
    headers += struct.pack("<IIQQQQQQ", 4, 4, 0x400, 0x400, 0x400, len(note), len(note), 4)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head = ident + struct.pack("<HHIQQQIHHHHHH", file_type, 62, 1, 0x1000, 64, 0, 0, 64, 56, 4, 0, 0, 0) + headers
    data = head.ljust(0x400, b"\0") + note
    data = data.ljust(0x1000, b"\0") + text
    return (data.ljust(0x2000, b"\0") + b"originaldata").ljust(0x3000, b"\0")
