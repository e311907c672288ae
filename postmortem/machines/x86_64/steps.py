"""x86-64 steps to a caller that need no CFI: frame pointers, calls to nowhere, return-address scan."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from postmortem.machines.x86_64.registers import PC, RBP, REGISTER_COUNT, RSP

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.machines.machine import Registers
    from postmortem.program.memory import AddressSpace


_PAGE = 0xFFF


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
            if mode == 0 and operand == 4:
                operand = code[at + 2] & 7  # the base of the SIB byte: 5 is none, with a displacement
            size += 1 if mode == 1 else 4 if mode == 2 or (mode == 0 and operand == 5) else 0
            if size == length:
                return True
    return False


def scan(space: AddressSpace, registers: Registers, is_code: Callable[[int], bool], words: int) -> Registers | None:
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
