"""x86-64 behind the protocol of machines.machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from postmortem.machines.machine import Interrupted
from postmortem.machines.x86_64 import (
    constants,
    dataflow,
    instruction,
    jumpbuffer,
    prologue,
    signalframe,
    steps,
    threadvariable,
)
from postmortem.machines.x86_64.registers import (
    ALL_NAMES,
    DWARF_NAMES,
    NOT_PRESERVED,
    PC,
    RBP,
    REGISTER_COUNT,
    RSP,
    from_prstatus,
)
from postmortem.machines.x86_64.syscalls import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.machines.machine import Decoded, Machine, Registers
    from postmortem.program.memory import AddressSpace

_DIVIDE_ERROR, _PAGE_FAULT = 0, 14
_ERROR_WRITE, _ERROR_FETCH = 2, 16
"""Bits of a page fault's error code: Intel SDM volume 3, 4.7."""
_REACH = 64
"""Bytes that an instruction may touch from its operand's address on: the largest vector."""


class X86_64:
    """See machines.machine.Machine."""

    pc, sp, fp, count = PC, RSP, RBP, REGISTER_COUNT
    names: tuple[str, ...] = ALL_NAMES
    not_preserved: tuple[int, ...] = NOT_PRESERVED
    top = 1 << 47
    pc_name, sp_name, thread_pointer, system_call = "rip", "rsp", "fs_base", "orig_rax"
    thread_registers: tuple[str, ...] = ("fs_base", "gs_base")
    call_arguments: tuple[str, ...] = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
    result = "rax"
    system_call_names = NAMES
    system_call_instruction = b"\x0f\x05"
    shown: tuple[str, ...] = (
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "rip",
    )  # fmt: skip
    trampoline = signalframe.TRAMPOLINE
    longest_instruction = 15

    registers = staticmethod(from_prstatus)
    is_signal_frame = staticmethod(signalframe.is_signal_frame)
    signal_of_trap = staticmethod(signalframe.signal_of_trap)
    return_step = staticmethod(steps.step_return_at_sp)
    frameless_step = staticmethod(steps.step_frameless)
    frame_pointer_step = staticmethod(steps.step_frame_pointer)
    follows_call = staticmethod(steps.follows_call)
    decode = staticmethod(instruction.decode)
    listing = staticmethod(instruction.listing)
    call_before = staticmethod(instruction.call_before)
    canonical = staticmethod(instruction.canonical)
    steps_before = staticmethod(dataflow.steps_before)
    below_pointers = staticmethod(dataflow.below_pointers)
    whole = staticmethod(instruction.whole)
    thread_variable = staticmethod(threadvariable.thread_variable)
    jump_marks = staticmethod(jumpbuffer.jump_marks)
    jump_targets = staticmethod(jumpbuffer.jump_targets)
    unguarded = staticmethod(jumpbuffer.unguarded)

    calls_another = staticmethod(prologue.calls_another)
    calls_here = staticmethod(prologue.calls_here)
    loaded_from = staticmethod(constants.loaded_from)
    loaded_once = staticmethod(constants.loaded_once)

    def return_slot(self, cfa: int) -> int:
        """Calls push it."""
        return cfa - 8

    def step_by_code(
        self, space: AddressSpace, bounds: tuple[int, int], pc: int, interrupted: bool
    ) -> Callable[[Registers], Registers | None] | None:
        """See prologue.state_at."""
        state = prologue.state_at(space, *bounds, pc, interrupted)
        return None if state is None else lambda registers: prologue.step(space, registers, state)

    def scan(
        self, space: AddressSpace, registers: Registers, is_code: Callable[[int], bool], words: int
    ) -> Registers | None:
        """See steps.scan."""
        return steps.scan(space, registers, is_code, words)

    def signal_frame(self, space: AddressSpace, sp: int) -> Interrupted | None:
        """See signalframe.restore_signal_frame."""
        restored = signalframe.restore_signal_frame(space, sp)
        if restored is None:
            return None
        values, trap = restored
        named = {name: value for name, value in zip(DWARF_NAMES, values, strict=True) if value is not None}
        named["eflags"] = trap["eflags"]
        return Interrupted(values, named, trap, sp + signalframe.CONTEXT_SIGINFO)

    def could_raise(self, trap: dict[str, int], decoded: Decoded | None, pc: int) -> bool:
        """Every signal frame holds the thread's last trap, of a signal that somebody sent, too: 0, a divide error,
        where there was none. An instruction whose bytes are not at hand is believed but for that."""
        number, address = trap["trapno"], trap["cr2"]
        if decoded is None:
            return number != _DIVIDE_ERROR
        if number == _DIVIDE_ERROR:
            return decoded.mnemonic in ("div", "idiv")
        if number == _PAGE_FAULT and decoded.mnemonic != "syscall":
            touched = [(operand.address, max(operand.size, _REACH)) for operand in decoded.operands]
            return not touched or any(at <= address < at + size for at, size in [*touched, (pc, len(decoded.code))])
        return decoded.mnemonic != "syscall"

    def page_access(self, trap: int | None, error: int | None) -> Literal["read", "write", "execute"] | None:
        """By the error code that the CPU pushes."""
        if trap != _PAGE_FAULT or error is None:
            return None
        if error & _ERROR_FETCH:
            return "execute"
        return "write" if error & _ERROR_WRITE else "read"


MACHINE: Machine = X86_64()
