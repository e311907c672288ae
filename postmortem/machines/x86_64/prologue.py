"""The caller of a function that has no call frame information, by what its own instructions did to the stack.

All ways from the function's first instruction to pc are followed; each push, pop and addition to rsp moves the distance
to the return address. It is believed where every way that was seen agrees, and where the return address follows a call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.machines.x86_64.instruction import engine
from postmortem.machines.x86_64.registers import DWARF_NAMES, PC, RBP, REGISTER_COUNT, RSP
from postmortem.machines.x86_64.signalframe import TRAMPOLINE
from postmortem.machines.x86_64.steps import follows_call

if TYPE_CHECKING:
    from postmortem.machines.machine import Registers
    from postmortem.program.memory import AddressSpace

_LONGEST = LIMITS.prologue_longest
_MOST_INSTRUCTIONS = LIMITS.prologue_instructions
_SAVED_BY_CALLEE = ("rbx", "rbp", "r12", "r13", "r14", "r15")
_NUMBER = re.compile(r"-?(?:0x[0-9a-f]+|\d+)")
_FROM = re.compile(r"rsp, \[(rsp|rbp)(?: ([+-]) (0x[0-9a-f]+|\d+))?\]")
_ENDS = ("ret", "hlt", "ud2", "int3", "repz ret")


class State(NamedTuple):
    """depth: bytes between rsp and the return address, None where not constant. frame: those at rbp, where it was set
    from rsp. saved: registers on the stack, by the distance of their place from the return address."""

    depth: int | None
    frame: int | None
    saved: tuple[tuple[str, int], ...]


def state_at(space: AddressSpace, start: int, size: int, pc: int, interrupted: bool) -> State | None:
    """The frame at pc of the function [start, start + size); None where the instructions do not tell.

    interrupted: pc has not been executed; else it follows a call.
    """
    if not 0 <= pc - start <= _LONGEST:
        return None
    return _at(space.read_some(start, min(max(size, pc - start), _LONGEST)), start, pc, interrupted)


def step(space: AddressSpace, registers: Registers, state: State) -> Registers | None:
    """The caller's registers of a frame in that state; None where its return address follows no call."""
    sp, fp = registers[RSP], registers[RBP]
    if state.depth is not None and sp is not None:
        place = sp + state.depth
    elif state.frame is not None and fp is not None:
        place = fp + state.frame
    else:
        return None
    returns_to = space.word(place)
    if returns_to is None:
        return None
    if follows_call(space, returns_to) is False and space.read(returns_to, len(TRAMPOLINE)) != TRAMPOLINE:
        return None  # a signal handler returns to the trampoline, which the kernel calls by no instruction
    caller: Registers = [None] * REGISTER_COUNT
    for name in _SAVED_BY_CALLEE:
        caller[DWARF_NAMES.index(name)] = registers[DWARF_NAMES.index(name)]
    for name, distance in state.saved:
        caller[DWARF_NAMES.index(name)] = space.word(place - distance)
    caller[PC], caller[RSP] = returns_to, place + 8
    return caller


_JUMPS = (bytes.fromhex("ff25"), bytes.fromhex("f3"), bytes.fromhex("f2ff25"))
"""How an entry of a procedure linkage table begins: jmp *slot, endbr64, bnd jmp *slot."""


def called_before(space: AddressSpace, returns_to: int) -> int | None:
    """What the direct call before a return address called; None where it is another instruction or can't be read."""
    code = space.read(returns_to - 5, 5)
    if code is None or code[0] != 0xE8:
        return None
    return (returns_to + int.from_bytes(code[1:], "little", signed=True)) & (1 << 64) - 1


def calls_another(space: AddressSpace, returns_to: int, pc: int) -> bool:
    """Whether the call before a return address is a direct one to a function behind pc: pc's is not what it called."""
    target = called_before(space, returns_to)
    return target is not None and target > pc


def calls_here(space: AddressSpace, returns_to: int) -> bool | None:
    """Whether the call before a return address is a direct one of a function of the same module, and not of an entry
    that leads to another one. None: the code is not at hand."""
    if space.read(returns_to - 5, 5) is None:
        return None
    target = called_before(space, returns_to)
    code = space.read(target, 3) if target is not None else b""
    return None if code is None else bool(code) and not code.startswith(_JUMPS)


def _at(code: bytes, start: int, pc: int, interrupted: bool) -> State | None:
    """The state at pc; None where no way leads there, or two that disagree."""
    seen: dict[int, State] = {}
    found: State | None = None
    left = [(start, State(0, None, ()))]
    decoder = engine(False)
    while left:
        address, state = left.pop()
        while start <= address < start + len(code) and len(seen) < _MOST_INSTRUCTIONS:
            known = seen.get(address)
            if known is not None:
                # Two ways to one instruction: it is the same frame, or none can be told here.
                if known != state and address == pc:
                    return None
                break
            seen[address] = state
            if interrupted and address == pc:
                found = state
            row = next(decoder.disasm_lite(code[address - start : address - start + 16], address, 1), None)
            if row is None:
                break
            _, length, mnemonic, operands = row
            following = address + length
            if mnemonic == "call":
                if following == pc and not interrupted:
                    found = state
                address = following
                continue
            if mnemonic in _ENDS:
                break
            if mnemonic.startswith("j"):
                target = int(operands, 16) if operands.startswith("0x") else None
                if target is not None and start <= target < start + len(code):
                    left.append((target, state))
                if mnemonic == "jmp":
                    break
            else:
                state = _after(state, mnemonic, operands)
            address = following
    return found


def _after(state: State, mnemonic: str, operands: str) -> State:
    depth, frame, saved = state
    if mnemonic == "push":
        depth = None if depth is None else depth + 8
        if depth is not None and operands in _SAVED_BY_CALLEE and operands not in dict(saved):
            saved = (*saved, (operands, depth))
    elif mnemonic == "pop":
        if depth is not None and dict(saved).get(operands) == depth:
            saved = tuple(item for item in saved if item[0] != operands)
            frame = None if operands == "rbp" else frame
        depth = None if depth is None else depth - 8
    elif mnemonic == "leave":
        depth = None if frame is None else frame - 8
        saved, frame = tuple(item for item in saved if item[0] != "rbp"), None
    elif mnemonic == "mov" and operands == "rbp, rsp":
        frame = depth
    elif mnemonic == "mov" and operands == "rsp, rbp":
        depth = frame
    elif operands.startswith("rsp,"):
        number = operands.removeprefix("rsp, ")
        moved = _FROM.fullmatch(operands) if mnemonic == "lea" else None
        if mnemonic in ("add", "sub") and _NUMBER.fullmatch(number) and depth is not None:
            depth += int(number, 0) if mnemonic == "sub" else -int(number, 0)
        elif moved is not None:
            base = depth if moved[1] == "rsp" else frame
            offset = int(moved[3] or "0", 0) * (-1 if moved[2] == "-" else 1)
            depth = None if base is None else base - offset
        else:
            depth = None
    elif operands.startswith("rbp,") and mnemonic not in ("cmp", "test"):
        frame = None
    return State(depth, frame, saved)
