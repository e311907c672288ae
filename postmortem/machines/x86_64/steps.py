"""x86-64 rules that need no CFI: signal frames, frame pointers, calls to nowhere, return-address scan.

Layout of the signal frame: kernel arch/x86/include/uapi/asm/sigcontext.h and ucontext.h. At the
trampoline, rsp points at the ucontext_t; its gregs begin at +40 in the order below; siginfo_t is at +304.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.elf.notes import SignalInfo
from postmortem.unwind.frame import PC, RBP, RSP, Registers

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.program.memory import AddressSpace

REGISTER_COUNT = 17
DWARF_NAMES = (
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
)  # fmt: skip
TRAMPOLINE = bytes.fromhex("48c7c00f0000000f05")
"""mov $__NR_rt_sigreturn, %rax; syscall: what every libc's restorer is (glibc __restore_rt, musl)."""

_GREGS = struct.Struct("<23Q")
# mcontext gregs: r8…r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags, csgsfs, err, trapno, oldmask, cr2
_GREG_TO_DWARF = (8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16)
CONTEXT_GREGS, CONTEXT_SIGINFO = 40, 304
_PAGE = 0xFFF


def from_prstatus(registers: dict[str, int]) -> Registers:
    """DWARF-numbered registers of a thread's NT_PRSTATUS."""
    return [registers.get(name) for name in DWARF_NAMES]


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


def signal_of_trap(details: dict[str, int], pc: int) -> SignalInfo | None:
    """The siginfo that the kernel makes of a trap (arch/x86/kernel/traps.c, mm/fault.c).

    Bit 0 of a page fault's error code: the page was present, so the access was not permitted.
    """
    trap, error = details["trapno"], details["err"]
    number, code, address = {
        0: (8, 1, pc),
        3: (5, 128, 0),
        6: (4, 2, pc),
        13: (11, 128, 0),
        14: (11, 2 if error & 1 else 1, details["cr2"]),
        16: (8, 0, pc),
        17: (7, 1, 0),
        19: (8, 0, pc),
    }.get(trap, (0, 0, 0))
    if not number or (trap == 14 and not error & 4):
        return None
    return SignalInfo(number, 0, code, address, None, None, None, None)


def step_frame_pointer(space: AddressSpace, registers: Registers) -> Registers | None:
    """push %rbp; mov %rsp,%rbp: the caller's rbp is at [rbp], the return address at [rbp + 8]."""
    fp, sp = registers[RBP], registers[RSP]
    if fp is None or sp is None or fp < sp or fp & 7 or fp - sp > 1 << 24:
        return None
    pair = space.words(fp, 2)
    if pair is None:
        return None
    caller: Registers = [None] * REGISTER_COUNT
    caller[RBP], caller[PC], caller[RSP] = pair[0], pair[1], fp + 16
    return caller


def step_return_at_sp(space: AddressSpace, registers: Registers) -> Registers | None:
    """A call whose target has not built a frame: the return address is at [rsp], nothing else changed."""
    sp = registers[RSP]
    if sp is None:
        return None
    target = space.word(sp)
    if target is None:
        return None
    caller = list(registers)
    caller[PC], caller[RSP] = target, sp + 8
    return caller


def step_frameless(space: AddressSpace, registers: Registers) -> Registers | None:
    """A function interrupted before it built a frame, or that builds none: [rsp] is the return address.

    Believed only when the instruction before that address is a direct call to just below pc.
    """
    caller = step_return_at_sp(space, registers)
    pc = registers[PC]
    if caller is None or pc is None:
        return None
    target = caller[PC] or 0
    code = space.read(target - 5, 5)
    if code is None or code[0] != 0xE8:
        return None
    called = (target + int.from_bytes(code[1:], "little", signed=True)) & 0xFFFFFFFFFFFFFFFF
    return caller if called <= pc < called + 0x10000 else None


def follows_call(space: AddressSpace, address: int) -> bool | None:
    """Whether the bytes before `address` can be a call instruction (Intel SDM, CALL); None: no bytes.

    Direct e8 rel32; indirect ff /2 with 0 to 5 bytes of ModRM operand and an optional REX prefix.
    """
    code = space.read(address - 7, 7)
    if code is None:
        return None
    if code[2] == 0xE8:
        return True
    for length in (2, 3, 4, 6, 7):
        at = 7 - length
        if code[at] == 0xFF and code[at + 1] >> 3 & 7 == 2:
            mode, operand = code[at + 1] >> 6, code[at + 1] & 7
            size = 2 + (operand == 4 and mode != 3)
            size += 1 if mode == 1 else 4 if mode == 2 or (mode == 0 and operand == 5) else 0
            if size == length:
                return True
    return False


def scan(
    space: AddressSpace, registers: Registers, is_code: Callable[[int], bool], words: int
) -> Registers | None:
    """The nearest word above rsp that is a return address: in code and behind a call instruction."""
    sp = registers[RSP]
    if sp is None or sp & 7:
        return None
    data = space.read_some(sp, 8 * words)
    fp = registers[RBP]
    for index, (value,) in enumerate(struct.iter_unpack("<Q", data[: len(data) // 8 * 8])):
        # Code that is not at hand (a missing file) can't be checked for a call: the address must do.
        if is_code(value) and follows_call(space, value) is not False:
            caller: Registers = [None] * REGISTER_COUNT
            caller[PC], caller[RSP] = value, sp + 8 * index + 8
            if fp is not None and fp >= sp + 8 * index + 8:
                caller[RBP] = fp
            return caller
    return None
