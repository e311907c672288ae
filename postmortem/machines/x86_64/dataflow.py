"""Where the value of a register came from: the instructions before one, as far as they run straight to it.

A value is followed back only over instructions that control can't have entered between: a label among them, by any
direct jump of the function, ends the search, as does a jump away. Calls change what the psABI lets them change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.machines.machine import Step
from postmortem.machines.x86_64.instruction import engine, registers_written, whole

if TYPE_CHECKING:
    from postmortem.program.memory import AddressSpace

_LARGEST = LIMITS.dataflow_largest
"""Bytes of a function that is looked at."""
_STEPS = 48
_BELOW = re.compile(r"\[(rsp|rbp)(?: \+ \w+(?:\*\d)?)? - (0x[0-9a-f]+|\d+)\]")
_CALL_WRITES = frozenset(("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"))
_LOADS = frozenset(("mov", "movsxd", "movsx", "movzx"))


def steps_before(space: AddressSpace, start: int, size: int, pc: int, past_labels: bool = False) -> list[Step] | None:
    """The instructions that run straight to pc, in order; None when the function's `size` bytes can't be read.

    past_labels: one way of several, that on which no jump was taken, as on the first turn of a loop.
    """
    size = max(size, pc - start)
    if not 0 <= pc - start < _LARGEST or size > _LARGEST:
        return None
    code = space.read(start, size)
    if code is None:
        return None
    targets: set[int] = set()
    addresses: list[int] = []
    for at, _, mnemonic, operands in engine(False).disasm_lite(code, start):
        addresses.append(at)
        if not past_labels and (mnemonic[0] == "j" or mnemonic.startswith("loop")):
            try:
                targets.add(int(operands, 16))
            except ValueError:
                continue  # an indirect jump
    if pc not in addresses:
        return None
    position = addresses.index(pc)
    first = position
    while first > 0 and position - first < _STEPS and addresses[first] not in targets:
        first -= 1
    begin = addresses[first]
    made: list[Step] = []
    for instruction in engine(True).disasm(code[begin - start : pc - start], begin):
        step = _step(instruction)
        made = [] if step.kind == "leave" else [*made, step]
    return made


def below_pointers(space: AddressSpace, bounds: tuple[int, int]) -> dict[str, int] | None:
    """How far below its stack and frame pointer a function's instructions reach, in bytes; None: not known."""
    start, size = bounds
    code = space.read(start, size) if 0 < size <= _LARGEST else None
    if code is None:
        return None
    found = {"rsp": 0, "rbp": 0}
    for _, _, _, operands in engine(False).disasm_lite(code, start):
        match = _BELOW.search(operands)
        if match is not None:
            found[match[1]] = max(found[match[1]], int(match[2], 0))
    return found


def _step(instruction: object) -> Step:
    from capstone import CS_GRP_CALL
    from capstone.x86 import X86_OP_IMM, X86_OP_MEM, X86_OP_REG

    mnemonic: str = instruction.mnemonic  # type: ignore[attr-defined]
    address: int = instruction.address  # type: ignore[attr-defined]
    operands = instruction.operands  # type: ignore[attr-defined]
    name = instruction.reg_name  # type: ignore[attr-defined]
    if mnemonic in ("jmp", "ret", "ud2", "hlt"):
        return Step(address, frozenset(), "leave")
    if CS_GRP_CALL in instruction.groups:  # type: ignore[attr-defined]
        return Step(address, _CALL_WRITES, "call")
    writes = registers_written(instruction)
    if mnemonic == "cdqe":  # what is extended is the low half, so that the value stays but for its upper bits
        return Step(address, writes, "copy", "rax")
    if len(operands) == 2 and operands[0].type == X86_OP_MEM and operands[1].type == X86_OP_REG and mnemonic == "mov":
        to, held = operands[0].mem, name(operands[1].reg)
        if not to.segment and not to.index and to.base:
            return Step(
                address, writes, "store", name(to.base), None, 1, to.disp, operands[0].size, source=whole(held) or held
            )
    if len(operands) != 2 or operands[0].type != X86_OP_REG:
        return Step(address, writes, "other")
    source = operands[1]
    if source.type == X86_OP_MEM and (mnemonic in _LOADS or mnemonic == "lea"):
        memory = source.mem
        if memory.segment:
            return Step(address, writes, "other")
        base = name(memory.base) if memory.base else None
        index = name(memory.index) if memory.index else None
        displacement = memory.disp
        if base == "rip":
            displacement += address + instruction.size  # type: ignore[attr-defined]
        if mnemonic == "lea":
            if index is not None:
                return Step(address, writes, "sum", base, index, memory.scale, displacement)
            if base is None:
                return Step(address, writes, "other")
            return Step(address, writes, "add", base, None, 1, displacement)
        signed = mnemonic.startswith("movsx")
        return Step(address, writes, "load", base, index, memory.scale, displacement, source.size, signed)
    if source.type == X86_OP_REG and mnemonic in ("mov", "movsxd"):
        register = name(source.reg)
        return Step(address, writes, "copy", whole(register) or register)
    if source.type == X86_OP_IMM and mnemonic in ("add", "sub"):
        register = name(operands[0].reg)
        sign = 1 if mnemonic == "add" else -1
        return Step(address, writes, "add", whole(register) or register, None, 1, sign * source.imm)
    return Step(address, writes, "other")
