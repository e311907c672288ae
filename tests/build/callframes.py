"""Builds `.eh_frame` and `.debug_frame` sections. Packs every record by its own formats."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = 0x10000
"""Where the section lies, unless said."""


class Function(NamedTuple):
    """An FDE: [start, start + size) and its CFA program."""

    start: int
    size: int
    program: bytes


def eh_frame(*functions: Function, base: int = BASE, augmentation: bytes = b"zR\0") -> bytes:
    """One CIE (CFA = rsp + 8, return address at CFA - 8) and an FDE for each function, pc-relative 32-bit pointers."""
    data = _record(struct.pack("<IB", 0, 1) + augmentation + bytes([1, 0x78, 16, 1, 0x1B, 0x0C, 7, 8, 0x90, 1]))
    for function in functions:
        at = base + len(data)
        data += _record(
            struct.pack("<IiI", len(data) + 4, function.start - (at + 8), function.size) + b"\0" + function.program
        )
    return data + bytes(4)


def eh_frame_hdr(*functions: Function, base: int, at: int) -> bytes:
    """The search table at `at` of the `.eh_frame` that lies at `base`; functions ascending."""
    rows, entry = b"", base + len(eh_frame()) - 4
    for index, function in enumerate(functions):
        rows += struct.pack("<ii", function.start - at, entry - at)
        entry = base + len(eh_frame(*functions[: index + 1], base=base)) - 4
    return bytes([1, 0x1B, 0x03, 0x3B]) + struct.pack("<iI", base - (at + 4), len(functions)) + rows


def debug_frame(*functions: Function, version: int = 4) -> bytes:
    """As eh_frame, with absolute 64-bit pointers at link time and the CIE at offset 0."""
    sizes = bytes([8, 0]) if version >= 4 else b""
    data = _record(struct.pack("<IB", 0xFFFFFFFF, version) + b"\0" + sizes + bytes([1, 0x78, 16, 0x0C, 7, 8, 0x90, 1]))
    for function in functions:
        data += _record(struct.pack("<IQQ", 0, function.start, function.size) + function.program)
    return data


def _record(body: bytes) -> bytes:
    body = body.ljust((len(body) + 3) // 4 * 4, b"\0")
    return struct.pack("<I", len(body)) + body


def reader(data: bytes, base: int = BASE) -> Callable[[int, int], bytes | None]:
    """Reads `data` as memory at `base`."""

    def read(address: int, size: int) -> bytes | None:
        piece = data[address - base : address - base + size] if address >= base else b""
        return piece if len(piece) == size else None

    return read
