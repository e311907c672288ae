"""Registers by role, under the names that cores and logs of all machines have for them."""

from __future__ import annotations

STACK_POINTERS = ("rsp", "sp", "esp")
FRAME_POINTERS = ("rbp", "ebp")
PROGRAM_COUNTERS = ("rip", "pc")
THREAD_POINTERS = ("fs_base",)
GENERAL = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", *(f"r{number}" for number in range(8, 16)))
"""Of x86-64, those that may hold a pointer of the program."""
