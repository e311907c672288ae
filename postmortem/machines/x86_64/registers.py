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


def from_prstatus(registers: dict[str, int]) -> Registers:
    """DWARF-numbered registers of a thread's NT_PRSTATUS."""
    return [registers.get(name) for name in DWARF_NAMES]
