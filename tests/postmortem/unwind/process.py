"""A made-up process to be walked: code, call frame information and stacks, of bytes made by hand."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parsers.dwarf.cfi import FrameTable
from postmortem.machines.x86_64.machine import MACHINE
from postmortem.machines.x86_64.registers import DWARF_NAMES
from postmortem.program.memory import AddressSpace, Piece
from postmortem.unwind.walker import Walker
from tests.build.callframes import BASE, Function, eh_frame, reader

if TYPE_CHECKING:
    from postmortem.budget import Budget
    from postmortem.machines.machine import Registers

CODE, CODE_SIZE, STACK, ALTERNATE = 0x400000, 0x10000, 0x7FFC00000000, 0x7FFB00000000

PLAIN = b""
"""CFA program of a function that has pushed nothing."""
RBP_FRAME = bytes([0x0C, 6, 16, 0x86, 2])
"""push %rbp; mov %rsp, %rbp: CFA = rbp + 16."""
BOTTOM = bytes([0x07, 16])
"""The return address is undefined."""

CALL = bytes.fromhex("0f1f00ffd0")
"""nopl (%rax); call *%rax: whatever it called."""


def call(at: int, target: int) -> bytes:
    """A direct call."""
    return b"\xe8" + struct.pack("<i", target - (at + 5))


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def room(size: int) -> bytes:
    """CFA program of a function with a frame of `size` bytes."""
    return bytes([0x0E]) + bytes([size & 0x7F | 0x80, size >> 7])


@dataclass
class Process:
    """Process().code(0x401005 - 5, CALL).function(0x401000, 0x100, PLAIN).stack(words(…)).walk(rip=…, rsp=STACK)"""

    text: bytearray = field(default_factory=lambda: bytearray(b"\x90" * CODE_SIZE))
    pieces: list[Piece] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    budget: Budget | None = None

    def code(self, address: int, content: bytes) -> Process:
        self.text[address - CODE : address - CODE + len(content)] = content
        return self

    def function(self, start: int, size: int, program: bytes) -> Process:
        self.functions.append(Function(start, size, program))
        return self

    def stack(self, content: bytes, at: int = STACK) -> Process:
        self.pieces.append(Piece(at, at + len(content), content, 0))
        return self

    def walker(self, **options: Any) -> Walker:
        section = eh_frame(*self.functions)
        table = FrameTable(reader(section), section_address=BASE, section_size=len(section))
        text = Piece(CODE, CODE + CODE_SIZE, bytes(self.text), 0)
        return Walker(
            AddressSpace([text, *self.pieces], self.budget), lambda pc: [table],
            lambda pc: CODE <= pc < CODE + CODE_SIZE, MACHINE, **options,
        )  # fmt: skip


def registers(**values: int) -> Registers:
    """By name; the rest is not known."""
    return [values.get(name) for name in DWARF_NAMES]
