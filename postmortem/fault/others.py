"""Threads that had a fault of their own when another one's ended the process.

Two things show that. The thread is in the handler of a signal that an instruction of its own raised, as a JVM's second
thread is, which waits there while the first is reported; that counts where the report's fault ended the process by way
of a handler, since else the handler may be about to mend what it was called for. Or its pc stands at an instruction
that must fault. The kernel leaves no other trace: the signal of a thread that comes second is dropped, and pr_cursig is
the same in all threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.elf.header import PF_X
from parsers.limits import LIMITS
from postmortem.fault.original import behind_handler, in_system_call
from postmortem.fault.recorded import fault_at, permits
from postmortem.fault.siginfo import describe
from postmortem.model import Address
from postmortem.model.process import OtherFault
from postmortem.model.queries.crash import FIRST_PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from parsers.elf import notes
    from parsers.elf.core import Core
    from postmortem.fault.fault import Fault
    from postmortem.machines.machine import Machine
    from postmortem.program.memory import AddressSpace
    from postmortem.unwind.threads import ThreadWalk

_SIGSEGV = 11
_NEAR_STACK = 1 << 16
"""Bytes around sp: a stack may be one that the kernel lets grow."""


def other_faults(
    walks: Sequence[ThreadWalk],
    fault: Fault,
    core: Core,
    space: AddressSpace,
    machine: Machine,
    name: Callable[[int], str | None],
) -> tuple[OtherFault, ...]:
    """At most LIMITS.other_faults. name: of the function at an address."""
    found: list[OtherFault] = []
    for tid, info, pc, handled in _faults(walks, fault, core, space, machine):
        signal = describe(info)
        if signal is None or len(found) == LIMITS.other_faults:
            break
        found.append(OtherFault(tid=tid, signal=signal, pc=Address(pc), function=name(pc), handled=handled))
    return tuple(found)


def _faults(
    walks: Sequence[ThreadWalk], fault: Fault, core: Core, space: AddressSpace, machine: Machine
) -> Iterator[tuple[int, notes.SignalInfo, int, bool]]:
    """(tid, signal, pc, whether its handler was at work)."""
    for walked in walks:
        status = walked.status
        if status.tid in (fault.tid, fault.taker):
            continue
        if in_system_call(walked, space, machine):
            if fault.frame is None or not walked.walk.signal_frames:
                continue
            behind = behind_handler(walked, core, space, machine)
            # A code above 0 is the kernel's: no other process or thread sent the signal.
            if behind is not None and behind.info is not None and (behind.info.code or 0) > 0:
                yield status.tid, behind.info, behind.registers.get(machine.pc_name, 0), True
        elif not core.segments_lost:
            standing = _standing(status.registers, core, space, machine)
            if standing is not None:
                yield status.tid, standing, status.registers.get(machine.pc_name, 0), False


def _standing(registers: dict[str, int], core: Core, space: AddressSpace, machine: Machine) -> notes.SignalInfo | None:
    """The fault of the instruction at pc, where it must have one."""
    pc = registers.get(machine.pc_name, 0)
    if not permits(core, pc, PF_X) and pc >= FIRST_PAGE:
        return None  # the vsyscall page, which no segment has, or a damaged list of mappings
    info = fault_at(core, space, registers, _SIGSEGV, machine)
    if info is None or abs((info.address or 0) - registers.get(machine.sp_name, 0)) < _NEAR_STACK:
        return None
    return info
