"""Constants that a function loads into registers just before a call: `lea rdi, [rip + …]; mov esi, 42; call …`.

A compiler loads the arguments of assert() and its like there, since they are literals. Only what holds on every way to
the call counts: registers are forgotten at the target of a branch, and those that a call may change at a call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.machines.x86_64.instruction import engine, registers_written, whole

if TYPE_CHECKING:
    from postmortem.program.memory import AddressSpace

_LONGEST_FUNCTION = LIMITS.constants_longest_function
_BLOCK = 160
"""Bytes before a call that are looked at where the function's start is not known."""
_MASK = (1 << 64) - 1
_CHANGED_BY_CALLS = frozenset(("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"))


def constants_at_call(space: AddressSpace, returns_to: int, start: int | None) -> dict[str, int]:
    """Values of 64-bit registers when the call before `returns_to` was made, as far as they are constants.

    start: address of the function that makes the call; None where it is not known.
    """
    if start is not None and 0 < returns_to - start <= _LONGEST_FUNCTION:
        code = space.read(start, returns_to - start)
        if code is not None:
            found = _run(code, start, returns_to, _targets(code, start))
            if found is not None:
                return found
    for size in range(_BLOCK, 4, -1):
        code = space.read(returns_to - size, size)
        found = None if code is None else _run(code, returns_to - size, returns_to, None)
        if found is not None:
            return found
    return {}


def loaded_from(space: AddressSpace, pc: int, start: int | None, register: str) -> int | None:
    """Address of the variable from which a register was last loaded before pc: `mov rax, [rip + …]`, or by its address
    in the global offset table `mov rax, [rip + …]; mov rax, [rax + 8]`.

    None where something else wrote it, or the way there is not known.
    """
    from capstone import CS_GRP_CALL
    from capstone.x86 import X86_OP_MEM, X86_OP_REG

    if start is None or not 0 < pc - start <= _LONGEST_FUNCTION:
        return None
    code = space.read(start, pc - start)
    if code is None:
        return None
    targets = _targets(code, start)
    sources: dict[str, int] = {}
    reached = start
    for instruction in engine(True).disasm(code, start):
        reached = instruction.address + instruction.size
        if instruction.address in targets:
            sources.clear()
        if CS_GRP_CALL in instruction.groups:
            sources = {name: at for name, at in sources.items() if name not in _CHANGED_BY_CALLS}
            continue
        loaded: tuple[str, int] | None = None
        operands = instruction.operands
        if instruction.mnemonic == "mov" and len(operands) == 2 and operands[0].type == X86_OP_REG:
            memory = operands[1].mem if operands[1].type == X86_OP_MEM else None
            target = whole(instruction.reg_name(operands[0].reg))
            base = None if memory is None else instruction.reg_name(memory.base)
            if target is not None and memory is not None and not memory.index:
                pointer = reached if base == "rip" else space.word(sources[base]) if base in sources else None
                if pointer is not None:
                    loaded = target, (pointer + memory.disp) & _MASK
        for name in registers_written(instruction):
            sources.pop(name, None)
        if loaded is not None:
            sources[loaded[0]] = loaded[1]
    return sources.get(register) if reached == pc else None


def loaded_once(space: AddressSpace, pc: int, start: int | None, register: str) -> int | None:
    """As loaded_from, of a register that calls preserve and that only one instruction of the function up to pc writes.

    None where a branch from before that load may lead past it. Code behind pc is not seen: the caller has to compare
    the variable's value with the register's.
    """
    from capstone.x86 import X86_OP_MEM

    if start is None or not 0 < pc - start <= _LONGEST_FUNCTION or register in _CHANGED_BY_CALLS:
        return None
    code = space.read(start, pc - start)
    if code is None:
        return None
    found: tuple[int, int] | None = None
    reached = start
    past = start
    for instruction in engine(True).disasm(code, start):
        reached = instruction.address + instruction.size
        if found is None and instruction.mnemonic.startswith("j"):
            target = instruction.op_str
            past = max(past, int(target, 16)) if re.fullmatch(r"0x[0-9a-f]+", target) else pc
        if register not in registers_written(instruction) or instruction.mnemonic == "pop":
            continue
        operands = instruction.operands
        memory = operands[1].mem if len(operands) == 2 and operands[1].type == X86_OP_MEM else None
        simple = instruction.mnemonic == "mov" and memory is not None and instruction.reg_name(memory.base) == "rip"
        if found is not None or not simple or memory is None:
            return None
        found = instruction.address, (reached + memory.disp) & _MASK
    return found[1] if found is not None and reached == pc and past <= found[0] else None


def _targets(code: bytes, start: int) -> frozenset[int]:
    """Where the direct branches of a function go."""
    return frozenset(
        int(operands, 16)
        for _, _, mnemonic, operands in engine(False).disasm_lite(code, start)
        if mnemonic.startswith("j") and re.fullmatch(r"0x[0-9a-f]+", operands)
    )


def _run(code: bytes, start: int, end: int, targets: frozenset[int] | None) -> dict[str, int] | None:
    """Constants at the last instruction; None when the bytes do not make instructions up to the call at their end.

    targets: of branches; None: unknown, and nothing outlives a branch.
    """
    from capstone import CS_GRP_CALL, CS_GRP_JUMP, CS_GRP_RET
    from capstone.x86 import X86_OP_IMM, X86_OP_MEM, X86_OP_REG

    known: dict[str, int] = {}
    reached = start
    for instruction in engine(True).disasm(code, start):
        if targets is not None and instruction.address in targets:
            known.clear()
        reached = instruction.address + instruction.size
        groups = instruction.groups
        if CS_GRP_CALL in groups:
            if reached == end:
                return known
            known = {name: value for name, value in known.items() if name not in _CHANGED_BY_CALLS}
            continue
        if (CS_GRP_JUMP in groups and targets is None) or CS_GRP_RET in groups or instruction.mnemonic == "jmp":
            known.clear()
            continue
        operands = instruction.operands
        value: int | None = None
        target = whole(instruction.reg_name(operands[0].reg)) if operands and operands[0].type == X86_OP_REG else None
        if target is not None and len(operands) == 2:
            source = operands[1]
            if instruction.mnemonic in ("mov", "movabs") and source.type == X86_OP_IMM and operands[0].size >= 4:
                value = source.imm & ((1 << 8 * operands[0].size) - 1)
            elif instruction.mnemonic == "mov" and source.type == X86_OP_REG and operands[0].size == 8:
                value = known.get(instruction.reg_name(source.reg))
            elif instruction.mnemonic == "xor" and source.type == X86_OP_REG and source.reg == operands[0].reg:
                value = 0
            elif instruction.mnemonic == "lea" and source.type == X86_OP_MEM:
                memory = source.mem
                if instruction.reg_name(memory.base) == "rip" and not memory.index:
                    value = (reached + memory.disp) & _MASK
        for register in registers_written(instruction):
            known.pop(register, None)
        if target is not None and value is not None:
            known[target] = value
    return None
