"""What every machine has in common: registers by DWARF number."""

from __future__ import annotations

Registers = list[int | None]
"""Values by DWARF register number (x86-64 psABI, figure 3.36): 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi,
6 rbp, 7 rsp, 8–15 r8–r15, 16 the return address column, which holds the frame's pc. None: not known."""
