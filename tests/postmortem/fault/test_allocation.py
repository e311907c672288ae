"""What free() was given, where it has a frame, and where it left by a tail call; code and stack made by hand."""

from __future__ import annotations

import struct

import pytest

from postmortem.fault.allocation import Asked
from postmortem.machines.x86_64.machine import MACHINE
from postmortem.program.memory import AddressSpace, Piece
from postmortem.unwind.frame import RawFrame

MAIN, TABLE, DELETE, FREE, INNER, SLOTS = 0x401000, 0x402000, 0x403000, 0x7F0000001000, 0x7F0000002000, 0x404000
STACK = 0x7FFE00000000
BLOCK = 0x555500001010
CALL = bytes.fromhex("488b3b") + b"\xe8"
"""mov rdi, [rbx]; call"""
SYMBOLS = {MAIN: ("drop", 0x40), DELETE: ("operator delete(void*)", 0x20), FREE: ("free", 0x80)}


def symbol(address: int) -> tuple[str, int, int] | None:
    return next(((n, address - s, size) for s, (n, size) in SYMBOLS.items() if s <= address < s + size), None)


def jump(at: int, slot: int, mark: bytes = b"") -> Piece:
    """An entry of the procedure linkage table: jmp *slot."""
    code = mark + b"\xff\x25" + struct.pack("<i", slot - (at + len(mark) + 6))
    return Piece(at, at + len(code), code, 0)


def asked(called: int, held: int, delete: bytes = b"", callee: int = INNER) -> Asked:
    """drop(text) { free(text->start); } with the call to `called`; held: a word that the callee has on the stack."""
    code = (CALL + struct.pack("<i", called - (MAIN + 8))).ljust(0x40, b"\x90")
    slots = struct.pack("<QQ", DELETE, FREE)
    stack = struct.pack("<16Q", 0, held, *[0] * 14)
    jumps_on = delete or b"\xff\x25" + struct.pack("<i", SLOTS + 8 - (DELETE + 6))
    space = AddressSpace(
        [
            Piece(0x5000, 0x5008, struct.pack("<Q", BLOCK), 0),
            Piece(MAIN, MAIN + len(code), code, 0),
            jump(TABLE, SLOTS),
            jump(TABLE + 16, SLOTS + 8, bytes.fromhex("f30f1efa")),
            Piece(DELETE, DELETE + len(jumps_on), jumps_on, 0),
            Piece(SLOTS, SLOTS + 16, slots, 0),
            Piece(STACK, STACK + len(stack), stack, 0),
        ]
    )
    registers: list[int | None] = [None] * MACHINE.count
    registers[MACHINE.names.index("rbx")] = 0x5000
    frames = [
        RawFrame(callee + 8, STACK, None, "native", "context", True),
        RawFrame(MAIN + 8, STACK + 0x40, None, "native", "cfi", False, registers=registers),
        RawFrame(MAIN + 0x30, STACK + 0x60, None, "native", "cfi", False),
    ]
    return Asked(frames, space, symbol, MACHINE)


@pytest.mark.parametrize(
    ("called", "callee"),
    [
        (TABLE + 16, FREE),  # free() has a frame
        (TABLE + 16, INNER),  # it left by a jump to a function without a name
        (TABLE, INNER),  # so did operator delete, which does nothing but jump to free()
    ],
)
@pytest.mark.parametrize("held", [BLOCK, BLOCK - 16])
def test_the_pointer_that_was_to_be_freed(called: int, callee: int, held: int) -> None:
    found = asked(called, held, callee=callee).freed(None)
    assert found is not None
    assert (found.address, found.call) == (BLOCK, "free")


def test_what_is_not_known_to_be_freed() -> None:
    assert asked(TABLE + 16, 7).freed(None) is None, "nothing shows that memory is as it was"
    changes = bytes.fromhex("4883ef10ff25") + struct.pack("<i", SLOTS + 8 - (DELETE + 10))
    assert asked(TABLE, BLOCK, changes).freed(None) is None, "operator delete does more than to jump"
    assert asked(MAIN, BLOCK).freed(None) is None
