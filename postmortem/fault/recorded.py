"""The signal that ended the process, as its core records it: NT_SIGINFO, else pr_cursig of NT_PRSTATUS.

The kernel puts the thread that took the signal first, and its signal into pr_cursig of every thread (fs/binfmt_elf.c);
kernels before 3.7 and converters of other dumps write no NT_SIGINFO. gdb's gcore records one for each thread. A code,
an address or a sender that no siginfo tells is derived from the instruction at pc where that admits one only.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from typing import TYPE_CHECKING

from parsers.elf import notes

if TYPE_CHECKING:
    from parsers.elf.core import Core
    from parsers.elf.x86_64.prstatus import ThreadStatus
    from postmortem.machines.machine import Machine
    from postmortem.program.memory import AddressSpace

_SIGILL, _SIGTRAP, _SIGABRT, _SIGBUS, _SIGFPE, _SIGKILL, _SIGSEGV, _SIGSTOP = 4, 5, 6, 7, 8, 9, 11, 19
_FAULTS = frozenset((_SIGILL, _SIGABRT, _SIGBUS, _SIGFPE, _SIGSEGV, 31))
_STOPS = frozenset((_SIGTRAP, _SIGKILL, _SIGSTOP))
_SI_TKILL, _SI_USER, _SI_KERNEL = -6, 0, 128
_ILL_ILLOPN, _FPE_INTDIV = 2, 1
_SEGV_MAPERR, _SEGV_ACCERR = 1, 2
_PF_X, _PF_W, _PF_R = 1, 2, 4
_SYSCALL, _INT3 = b"\x0f\x05", b"\xcc"
_KILLS = {"tgkill": (2, _SI_TKILL), "tkill": (1, _SI_TKILL), "kill": (1, _SI_USER)}
"""System calls that send a signal: tgkill, tkill, kill; which argument is its number."""


def recorded(core: Core, space: AddressSpace, machine: Machine) -> Core:
    """The core with the thread first that took its signal, and with a siginfo as far as one can be derived."""
    if not core.threads:
        return core
    taker = max(core.threads, key=lambda status: _weight(_number(core, status)))
    number = _number(core, taker)
    if core.signal is not None and (
        core.signal.number not in (0, _SIGSTOP) or _weight(number) <= _weight(core.signal.number)
    ):
        return core
    if not number:
        return core
    threads = (taker, *(status for status in core.threads if status is not taker))
    told = core.siginfo.get(taker.tid)
    return dataclasses.replace(core, threads=threads, signal=told or derived(core, taker, number, space, machine))


def _number(core: Core, status: ThreadStatus) -> int:
    told = core.siginfo.get(status.tid)
    return told.number if told is not None and told.number else max(status.signal, 0)


def _weight(number: int) -> int:
    """A fault beats a signal that somebody sent, and that beats what only stops a thread or ends all of them."""
    return 0 if number == 0 else 1 if number in _STOPS else 3 if number in _FAULTS else 2


def derived(core: Core, status: ThreadStatus, number: int, space: AddressSpace, machine: Machine) -> notes.SignalInfo:
    """The siginfo of a signal of which only the number is known; code and address None where they can't be told."""
    pc, registers = status.registers.get(machine.pc_name, 0), status.registers
    pid = core.process.pid if core.process is not None else None
    call = machine.system_call_names.get(registers.get(machine.system_call, 0))
    entered = machine.system_call_instruction
    sends = space.read(pc - len(entered), len(entered)) == entered and _KILLS.get(call or "")
    if sends:
        to = registers.get(machine.call_arguments[0])
        of_itself = to in (pid, status.tid) or (call == "kill" and to == 0)
        if registers.get(machine.call_arguments[sends[0]], 0) & 0x7F == number and of_itself and pid is not None:
            return notes.SignalInfo(number, 0, sends[1], None, pid, None, None, None)
        return _bare(number)
    if number in (_SIGSEGV, _SIGBUS):
        return fault_at(core, space, registers, number, machine) or _bare(number)
    decoded = machine.decode(space, pc, registers, lambda address: permits(core, address, 0))
    if number == _SIGFPE and decoded is not None and decoded.values.get("divisor") == 0:
        return notes.SignalInfo(number, 0, _FPE_INTDIV, pc, None, None, None, None)
    if number == _SIGILL and decoded is not None and decoded.mnemonic.startswith("ud"):
        return notes.SignalInfo(number, 0, _ILL_ILLOPN, pc, None, None, None, None)
    if number == _SIGTRAP and space.read(pc - 1, 1) == _INT3:
        return notes.SignalInfo(number, 0, _SI_KERNEL, None, None, None, None, None)
    return _bare(number)


def _bare(number: int) -> notes.SignalInfo:
    return notes.SignalInfo(number, 0, None, None, None, None, None, None)


def fault_at(
    core: Core, space: AddressSpace, registers: dict[str, int], number: int, machine: Machine
) -> notes.SignalInfo | None:
    """The fault that the instruction at pc must raise, by the core's mappings; None where it need not raise any."""
    pc = registers.get(machine.pc_name, 0)
    if not permits(core, pc, _PF_X):
        if number != _SIGSEGV:
            return None
        code = _SEGV_ACCERR if permits(core, pc, 0) else _SEGV_MAPERR
        return notes.SignalInfo(number, 0, code, pc, None, None, None, None)
    decoded = machine.decode(space, pc, registers, lambda address: permits(core, address, 0))
    for operand in () if decoded is None else decoded.operands:
        found: int | None = None
        if not operand.canonical:
            found = _SI_KERNEL
        elif not permits(core, operand.address, 0):
            found = _SEGV_MAPERR
        elif not permits(core, operand.address, _PF_W if operand.access == "write" else _PF_R):
            found = _SEGV_ACCERR
        if found is not None and (number == _SIGSEGV or found == _SI_KERNEL):
            address = 0 if found == _SI_KERNEL else operand.address
            return notes.SignalInfo(number, 0, found, address, None, None, None, None)
    return None


def permits(core: Core, address: int, flags: int) -> bool:
    """Whether a mapping holds an address and permits what `flags` (PF_*) ask for.

    gdb's gcore writes no segment for a mapped file that was never written: what NT_FILE alone has permits all.
    """
    for segment in core.segments:
        if segment.start <= address < segment.end:
            return segment.flags & flags == flags
    at = bisect_right(core.files, address, key=lambda row: row.start) - 1
    return at >= 0 and address < core.files[at].end
