"""The signal frame of x86-64 and what a trap says.

Layout: kernel arch/x86/include/uapi/asm/sigcontext.h and ucontext.h. At the trampoline, rsp points at the
ucontext_t; its gregs begin at +40 in the order below; siginfo_t is at +304.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.elf.notes import SignalInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.machines.machine import Registers
    from postmortem.program.memory import AddressSpace

from postmortem.machines.x86_64.registers import REGISTER_COUNT

CONTEXT_GREGS, CONTEXT_SIGINFO = 40, 304

TRAMPOLINE = bytes.fromhex("48c7c00f0000000f05")
"""mov $__NR_rt_sigreturn, %rax; syscall: what every libc's restorer is (glibc __restore_rt, musl)."""

_GREGS = struct.Struct("<23Q")
_CONTEXT = struct.Struct("<2Q24x24Q")
"""uc_flags, uc_link; gregs and the address of the saved floating-point state."""
_USER_CODE, _USER_STACK = 0x33, 0x2B
_STATE_WORDS, _STATE_MAGIC, _STATE_END = 464, 0x46505853, 0x46505845
"""struct _fpx_sw_bytes in the FXSAVE area: FP_XSTATE_MAGIC1, the size of all; FP_XSTATE_MAGIC2 is behind that."""
_STATE_NEAR, _STATE_LARGEST = 1024, 1 << 16

# mcontext gregs: r8…r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags, csgsfs, err, trapno, oldmask, cr2
_GREG_TO_DWARF = (8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16)


def restore_signal_frame(space: AddressSpace, sp: int) -> tuple[Registers, dict[str, int]] | None:
    """Registers of the interrupted context whose ucontext_t is at `sp`, and err, trapno, cr2 with eflags.

    None when it can't be read or can't be one (cs is not a user code segment).
    """
    data = space.read(sp + CONTEXT_GREGS, _GREGS.size)
    if data is None:
        return None
    values = _GREGS.unpack(data)
    if values[18] & 0xFFFF not in (0x33, 0x23):
        return None
    registers: Registers = [None] * REGISTER_COUNT
    for value, number in zip(values, _GREG_TO_DWARF, strict=False):
        registers[number] = value
    return registers, {"eflags": values[17], "err": values[19], "trapno": values[20], "cr2": values[22]}


def is_signal_frame(space: AddressSpace, sp: int) -> bool:
    """Whether the kernel wrote what lies at `sp`, where the code of the trampoline is not at hand to tell.

    It saves the floating-point state right above and marks both ends of that (arch/x86/kernel/fpu/signal.c).
    """
    data = space.read(sp, _CONTEXT.size)
    if data is None:
        return False
    flags, link, *gregs, state = _CONTEXT.unpack(data)
    if flags >> 3 or link or gregs[18] & 0xFFFF != _USER_CODE or gregs[18] >> 48 != _USER_STACK:
        return False
    if not sp + CONTEXT_SIGINFO + 128 <= state <= sp + CONTEXT_SIGINFO + _STATE_NEAR or state & 63:
        return False
    words = space.read(state + _STATE_WORDS, 8)
    magic, size = struct.unpack("<2I", words) if words is not None else (0, 0)
    if magic != _STATE_MAGIC or not _STATE_WORDS < size <= _STATE_LARGEST:
        return False
    return space.read(state + size - 4, 4) == _STATE_END.to_bytes(4, "little")


def signal_of_trap(details: dict[str, int], pc: int, mapped: Callable[[int], bool]) -> SignalInfo | None:
    """The siginfo that the kernel makes of a trap (arch/x86/kernel/traps.c, mm/fault.c).

    mapped: whether an address lies in a mapping. A page fault there was not permitted, whether the page was present
    (bit 0 of the error code) or had not been touched before.
    """
    trap, error = details["trapno"], details["err"]
    number, code, address = {
        0: (8, 1, pc),
        3: (5, 128, 0),
        6: (4, 2, pc),
        13: (11, 128, 0),
        14: (11, 2 if error & 1 or mapped(details["cr2"]) else 1, details["cr2"]),
        16: (8, 0, pc),
        17: (7, 1, 0),
        19: (8, 0, pc),
    }.get(trap, (0, 0, 0))
    if not number or (trap == 14 and not error & 4):
        return None
    return SignalInfo(number, 0, code, address, None, None, None, None)
