"""The address of errno by the code of the function that returns it, and what jmp_buf keep of a stack pointer."""

from __future__ import annotations

import struct

import pytest

from postmortem.machines.x86_64.machine import MACHINE
from postmortem.program.memory import AddressSpace, Piece

AT, THREAD = 0x401000, 0x7F0000001000
ADD = bytes.fromhex("64480304250000000 0c3".replace(" ", ""))


def space(code: bytes, table: int = -0x40) -> AddressSpace:
    data = code.ljust(0x100, b"\0") + struct.pack("<q", table)
    return AddressSpace([Piece(AT, AT + len(data), data, 0)])


@pytest.mark.parametrize(
    ("code", "offset"),
    [
        (b"\x48\x8b\x05" + struct.pack("<i", 0x100 - 7) + ADD, -0x40),  # mov 0xf9(%rip),%rax
        (b"\xf3\x0f\x1e\xfa\x48\x8b\x05" + struct.pack("<i", 0x100 - 11) + ADD, -0x40),
        (b"\x48\xc7\xc0" + struct.pack("<i", -0x38) + ADD, -0x38),  # mov $-0x38,%rax
        (bytes.fromhex("64488b0425000000004883c034c3"), 0x34),  # mov %fs:0,%rax; add $0x34,%rax
        (bytes.fromhex("64488b0425000000004805 88ffffff c3".replace(" ", "")), -0x78),
    ],
)
def test_the_variable_of_a_thread(code: bytes, offset: int) -> None:
    assert MACHINE.thread_variable(space(code), AT, THREAD) == THREAD + offset


@pytest.mark.parametrize("code", [b"", b"\x31\xc0\xc3", b"\x48\x8b\x05" + struct.pack("<i", 0x7000) + ADD])
def test_a_function_that_does_something_else(code: bytes) -> None:
    assert MACHINE.thread_variable(space(code), AT, THREAD) is None


def rotated(value: int) -> int:
    return (value << 17 | value >> 47) & (1 << 64) - 1


@pytest.mark.parametrize("guarded", [True, False])
def test_a_jump_buffer_keeps_stack_pointer_and_place(guarded: bool) -> None:
    guard, sp, pc = 0x1122334455667788, 0x7FFFFFFFE000, 0x401234
    kept = [rotated(word ^ guard) if guarded else word for word in (sp, pc)]
    buffer = struct.pack("<8Q", 1, 2, 3, 4, 5, 6, *kept)
    marks = MACHINE.jump_marks(sp, guard)
    found = next(buffer.find(mark) for mark in marks if mark in buffer)
    assert found == 48
    memory = AddressSpace([Piece(AT, AT + 64, buffer, 0)])
    assert (AT, pc) in list(MACHINE.jump_targets(memory, AT + found, guard))
    assert list(MACHINE.jump_targets(memory, AT + 56, guard)) == []
