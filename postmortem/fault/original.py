"""The original fault: what was interrupted by the signal handler that ended the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.elf import notes
from postmortem.fault import instruction
from postmortem.threads import Fault
from postmortem.unwind.frame import PC
from postmortem.unwind.x86_64 import rules as machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.elf.core import Core
    from postmortem.memory import AddressSpace
    from postmortem.threads import ThreadWalk

_CRASH_SIGNALS = frozenset((4, 5, 6, 7, 8, 11, 31))
"""SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS: what crash reporters catch."""

_DIVIDE_ERROR, _PAGE_FAULT = 0, 14
_REACH = 64
"""Bytes that the widest access takes."""


def choose_fault(walks: Sequence[ThreadWalk], core: Core, space: AddressSpace) -> Fault | None:
    """The original fault of the crashing thread: the oldest signal frame of a crash signal, else the core's own."""
    if not walks:
        return None
    status, walk, _ = walks[0]
    for frame in reversed(walk.signal_frames):
        restored = machine.restore_signal_frame(space, frame.context)
        if restored is None:
            continue
        values, details = restored
        registers = {
            name: value for name, value in zip(machine.DWARF_NAMES, values, strict=True) if value is not None
        }
        registers["eflags"] = details["eflags"]
        for name in ("fs_base", "gs_base"):
            registers[name] = status.registers[name]
        raw = space.read(frame.info, 48)
        info = notes.signal_info(raw) if raw is not None else None
        if info is None or not 0 < info.number <= 64 or not -64 < info.code <= 128:
            # The kernel writes siginfo_t for handlers with SA_SIGINFO only; the trap is always there.
            info = machine.signal_of_trap(details, values[PC] or 0)
            if info is None or not _could_raise(space, registers, details):
                continue
        if info is None or info.number not in _CRASH_SIGNALS:
            continue
        return Fault(status.tid, core.signal, info, frame, registers, details["trapno"], details["err"])
    return Fault(status.tid, core.signal, core.signal, None, dict(status.registers), None, None)


def _could_raise(space: AddressSpace, registers: dict[str, int], details: dict[str, int]) -> bool:
    """Whether the interrupted instruction can have raised the trap that the frame holds.

    Every signal frame holds the thread's last trap, of a signal that somebody sent too: 0, a divide error, where there
    was none. An instruction whose bytes are not at hand is believed but for that.
    """
    pc = registers.get("rip", 0)
    decoded = instruction.decode(space, pc, registers, lambda address: True)
    trap, address = details["trapno"], details["cr2"]
    if decoded is None:
        return trap != _DIVIDE_ERROR
    if trap == _DIVIDE_ERROR:
        return decoded.mnemonic in ("div", "idiv")
    if trap == _PAGE_FAULT and decoded.mnemonic != "syscall":
        touched = [(operand.address, max(operand.size, _REACH)) for operand in decoded.operands]
        return not touched or any(at <= address < at + size for at, size in [*touched, (pc, len(decoded.code))])
    return decoded.mnemonic != "syscall"
