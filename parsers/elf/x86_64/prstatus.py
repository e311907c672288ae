"""NT_PRSTATUS of x86-64 (kernel struct elf_prstatus, arch/x86 user_regs_struct), 336 bytes."""

from __future__ import annotations

import struct
from typing import NamedTuple

NAMES = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip
_REGISTERS = struct.Struct("<27Q")
SIZE = 336


class ThreadStatus(NamedTuple):
    """One thread as the kernel wrote it; `registers` by name, `signal` is pr_cursig."""

    tid: int
    signal: int
    registers: dict[str, int]


def thread_status(descriptor: memoryview) -> ThreadStatus | None:
    """A thread's status, or None when the note is shorter than the structure's registers."""
    if len(descriptor) < 112 + _REGISTERS.size:
        return None
    (signal,) = struct.unpack_from("<h", descriptor, 12)
    (tid,) = struct.unpack_from("<i", descriptor, 32)
    return ThreadStatus(tid, signal, dict(zip(NAMES, _REGISTERS.unpack_from(descriptor, 112), strict=True)))
