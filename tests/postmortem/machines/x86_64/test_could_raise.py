"""Whether the trap in a signal frame is that of the interrupted instruction, or was left by an earlier one."""

from __future__ import annotations

import pytest

from postmortem.machines.x86_64.machine import MACHINE
from postmortem.program.memory import AddressSpace, Piece

PC = 0x401000
IDIV, LOAD, SYSCALL, PUSH = "41f7f9", "488b4008", "0f05", "55"
"""idiv r9d; mov rax, [rax + 8]; syscall; push rbp."""


@pytest.mark.parametrize(
    ("code", "trap", "address", "expected"),
    [
        (IDIV, 0, 0, True),
        (SYSCALL, 0, 0, False),
        (LOAD, 0, 0, False),
        (LOAD, 14, 0x8, True),
        (LOAD, 14, 0x7F0000001234, False),
        (PUSH, 14, 0x6FF8, True),
        (SYSCALL, 14, 0x8, False),
        (SYSCALL, 13, 0, False),
        (LOAD, 14, PC, True),
        ("", 14, 0x8, True),
        ("", 0, 0, False),
    ],
)
def test_could_raise(code: str, trap: int, address: int, expected: bool) -> None:
    data = bytes.fromhex(code)
    space = AddressSpace([Piece(PC, PC + len(data), data, 0)] if data else [])
    registers = {"rip": PC, "rax": 0, "rsp": 0x7000}
    decoded = MACHINE.decode(space, PC, registers, lambda address: True)
    assert MACHINE.could_raise({"trapno": trap, "err": 4, "cr2": address}, decoded, PC) is expected
