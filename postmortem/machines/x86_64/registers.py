"""Registers of x86-64: DWARF numbers (psABI, figure 3.36), names, NT_PRSTATUS."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.machines.machine import Registers

RBP, RSP, PC = 6, 7, 16
"""DWARF register numbers by role."""

REGISTER_COUNT = 17

DWARF_NAMES = (
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
)  # fmt: skip

ALL_NAMES = (*DWARF_NAMES, *(f"xmm{number}" for number in range(16)))
"""With those that a core's notes give no value of."""

NOT_PRESERVED = (0, 1, 2, 4, 5, 8, 9, 10, 11)
"""rax, rdx, rcx, rsi, rdi, r8 to r11: a call does not preserve them (System V psABI, figure 3.4)."""


def from_prstatus(registers: dict[str, int]) -> Registers:
    """DWARF-numbered registers of a thread's NT_PRSTATUS."""
    return [registers.get(name) for name in DWARF_NAMES]
