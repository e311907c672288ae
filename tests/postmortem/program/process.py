"""A process of one library and a stack, as its core has it, with the library's file below a root of its own."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from parsers.elf import core as core_parser
from parsers.filebytes import FileBytes
from postmortem.program.program import Program
from tests.build.core import CoreBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from postmortem.targets.files import SearchPath

BASE, SIZE = 0x7F00_0000_0000, 0x3000
PATH = "/opt/shop/lib/libcart.so.2"
BUILD_ID, OTHER = "0123456789abcdef0123", "ffffffffffffffffffff"


def image(build_id: str | None = BUILD_ID, fill: int = 0x11) -> bytes:
    """A shared object of three pages: headers, code full of `fill`, data full of its double."""
    note = b""
    if build_id is not None:
        raw = bytes.fromhex(build_id)
        note = struct.pack("<III", 4, len(raw), 3) + b"GNU\0" + raw.ljust((len(raw) + 3) // 4 * 4, b"\0")
    headers = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, 0x1000, 0x1000, 0x1000)
    headers += struct.pack("<IIQQQQQQ", 1, 5, 0x1000, 0x1000, 0, 0x1000, 0x1000, 0x1000)
    headers += struct.pack("<IIQQQQQQ", 1, 6, 0x2000, 0x2000, 0, 0x1000, 0x1000, 0x1000)
    headers += struct.pack("<IIQQQQQQ", 4, 4, 0x200, 0x200, 0, len(note), len(note), 4)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 0, 0, 64, 56, len(headers) // 56, 64, 0, 0
    )
    page = (head + headers).ljust(0x200, b"\0") + note
    return page.ljust(0x1000, b"\0") + bytes([fill]) * 0x1000 + bytes([2 * fill]) * 0x1000


def rows(path: str = PATH, base: int = BASE) -> tuple[tuple[int, int, int, str], ...]:
    """NT_FILE of the library: one row a segment."""
    return tuple((base + at, base + at + 0x1000, at, path) for at in (0, 0x1000, 0x2000))


def builder(content: bytes, path: str = PATH) -> CoreBuilder:
    """A core that holds the library's first page and its data, as the kernel dumps them; not its code."""
    return (
        CoreBuilder()
        .thread(1, rip=BASE + 0x1010)
        .files(*rows(path))
        .memory(BASE, content[:0x1000], flags=4)
        .memory(BASE + 0x1000, b"", flags=5, size=0x1000)
        .memory(BASE + 0x2000, b"\xdd" * 0x1000, flags=6)
    )


def place(root: Path, content: bytes, path: str = PATH) -> Path:
    """The file at a path of the dead process, below `root`."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def program(built: CoreBuilder, folder: Path, search: SearchPath) -> Program:
    """The core as it is read from a file."""
    data = built.bytes()
    path = folder / "core"
    path.write_bytes(data)
    content = FileBytes(os.open(path, os.O_RDONLY | os.O_CLOEXEC), len(data))
    return Program(core_parser.parse(data), content, search)
