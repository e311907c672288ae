"""Builds small ELF cores. Packs every structure by its own formats, so that a wrong layout in the parser is caught."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

_REGISTER_ORDER = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
)


@dataclass
class CoreBuilder:
    """CoreBuilder().thread(1, rip=0x401136).memory(0x7ffc0000, words(…)).bytes()"""

    machine: int = 62
    notes: list[bytes] = field(default_factory=list)
    segments: list[tuple[int, int, int, bytes]] = field(default_factory=list)

    def note(self, kind: int, descriptor: bytes, name: bytes = b"CORE\0") -> CoreBuilder:
        padded = name.ljust((len(name) + 3) // 4 * 4, b"\0")
        body = descriptor.ljust((len(descriptor) + 3) // 4 * 4, b"\0")
        self.notes.append(struct.pack("<III", len(name), len(descriptor), kind) + padded + body)
        return self

    def thread(self, tid: int, signal: int = 11, **registers: int) -> CoreBuilder:
        status = bytearray(336)
        struct.pack_into("<iii", status, 0, signal, 0, 0)
        struct.pack_into("<h", status, 12, signal)
        struct.pack_into("<iiii", status, 32, tid, 1, 1, 1)
        for index, name in enumerate(_REGISTER_ORDER):
            struct.pack_into("<Q", status, 112 + 8 * index, registers.get(name, 0))
        return self.note(1, bytes(status))

    def process(self, pid: int, command: bytes, arguments: bytes) -> CoreBuilder:
        info = bytearray(136)
        info[1] = ord("R")
        struct.pack_into("<II", info, 16, 1000, 1000)
        struct.pack_into("<iiii", info, 24, pid, 1, pid, pid)
        info[40 : 40 + len(command)] = command
        info[56 : 56 + len(arguments)] = arguments
        return self.note(3, bytes(info))

    def siginfo(self, number: int, code: int, address: int) -> CoreBuilder:
        return self.note(0x53494749, struct.pack("<iiiiQ", number, 0, code, 0, address).ljust(128, b"\0"))

    def files(self, *rows: tuple[int, int, int, str]) -> CoreBuilder:
        body = struct.pack("<QQ", len(rows), 4096)
        body += b"".join(struct.pack("<QQQ", start, end, offset // 4096) for start, end, offset, _ in rows)
        body += b"".join(path.encode() + b"\0" for *_, path in rows)
        return self.note(0x46494C45, body)

    def memory(self, address: int, content: bytes, flags: int = 6, size: int | None = None) -> CoreBuilder:
        self.segments.append((address, size or len(content), flags, content))
        return self

    def bytes(self) -> bytes:
        notes = b"".join(self.notes)
        count = 1 + len(self.segments)
        offset = 64 + 56 * count
        headers = struct.pack("<IIQQQQQQ", 4, 0, offset, 0, 0, len(notes), 0, 4)
        offset += len(notes)
        contents = notes
        for address, size, flags, content in self.segments:
            headers += struct.pack("<IIQQQQQQ", 1, flags, offset, address, 0, len(content), size, 4096)
            contents += content
            offset += len(content)
        ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        header = ident + struct.pack("<HHIQQQIHHHHHH", 4, self.machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
        return header + headers + contents
