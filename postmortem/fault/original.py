"""The original fault: what was interrupted by the signal handler that ended the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.elf import notes
from postmortem.fault.fault import Fault
from postmortem.fault.recorded import fault_at, permits
from postmortem.unwind.frame import RawFrame, SignalFrame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.elf.core import Core
    from postmortem.machines.machine import Machine
    from postmortem.program.memory import AddressSpace
    from postmortem.unwind.frame import CaughtFault, ReportedFault
    from postmortem.unwind.threads import ThreadWalk

_CRASH_SIGNALS = frozenset((4, 5, 6, 7, 8, 11, 31))
"""SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS: what crash reporters catch."""

_SIGABRT, _SIGBUS, _SIGSEGV = 6, 7, 11
_SI_TKILL, _SI_USER = -6, 0

_WORD = 8
"""Bytes of a return address."""


def choose_fault(
    walks: Sequence[ThreadWalk],
    core: Core,
    space: AddressSpace,
    reported: ReportedFault | None,
    machine: Machine,
    caught: CaughtFault | None = None,
) -> Fault | None:
    """The original fault: behind the oldest signal frame of a crash signal, else what the core itself names.

    It is looked for in the thread that took the core's signal, and in another one for whose sake that may have
    ended the process. reported: what the runtime says that it was reporting; None when nothing tells. caught: a fault
    of the first thread that a runtime turned into a call of its own.
    """
    if not walks:
        return None
    if caught is not None:
        return _caught_by_runtime(walks[0], core, caught, machine)
    if reported is not None and reported.tid:
        for walked in walks:
            if walked.status.tid == reported.tid:
                # Other signals may have reached it since: a reporter that takes too long is interrupted by some.
                behind = behind_handler(walked, core, space, machine, reported.context) if reported.context else None
                return behind or _own(walked, core)
    fault = behind_handler(walks[0], core, space, machine)
    if fault is None and reported is None and _is_abort(core):
        # A handler that is at work may be about to mend what it was called for.
        waiting = [
            walked for walked in walks[1:] if walked.walk.signal_frames and in_system_call(walked, space, machine)
        ]
        others = [other for walked in waiting if (other := behind_handler(walked, core, space, machine)) is not None]
        if len(others) == 1 and not _is_own_doing(others[0], core):
            return others[0]
    return fault or _raised_again(walks[0], core, space, machine) or _own(walks[0], core)


def _caught_by_runtime(walked: ThreadWalk, core: Core, caught: CaughtFault, machine: Machine) -> Fault:
    """A fault that a runtime turned into a call of its own: the frames behind that are the fault's.

    Of its registers those are known that calls preserve. For a jump to address 0 the frame of the runtime's call takes
    its place: what lies at its end is the return address of the call that led there.
    """
    position, info = caught.position, caught.info
    frame = walked.walk.frames[position + 1]
    if caught.null_call and position:
        frame = RawFrame(0, frame.sp - _WORD, None, "unknown", "context", True)
        walked.walk.frames[position] = frame
        position -= 1
    registers = {machine.pc_name: frame.pc, machine.sp_name: frame.sp}
    for name in machine.thread_registers:
        registers[name] = walked.status.registers.get(name, 0)
    signal = SignalFrame(position, 0, 0, machine.registers(registers))
    return Fault(walked.status.tid, core.threads[0].tid, core.signal, info, signal, registers, None, None)


def _raised_again(walked: ThreadWalk, core: Core, space: AddressSpace, machine: Machine) -> Fault | None:
    """The fault of an instruction whose handler reset the signal and raised it: blocked while the handler runs, it
    comes when that returns to the instruction. None unless the instruction must fault."""
    signal, status = core.signal, walked.status
    if signal is None or signal.number not in (_SIGSEGV, _SIGBUS) or not _is_own(core):
        return None
    if in_system_call(walked, space, machine):
        return None
    info = fault_at(core, space, status.registers, signal.number, machine)
    return (
        None if info is None else Fault(status.tid, status.tid, signal, info, None, dict(status.registers), None, None)
    )


def _own(walked: ThreadWalk, core: Core) -> Fault:
    """A thread as the core has it, with the core's signal."""
    status = walked.status
    return Fault(status.tid, core.threads[0].tid, core.signal, core.signal, None, dict(status.registers), None, None)


def _is_abort(core: Core) -> bool:
    """Whether the process ended itself."""
    return core.signal is not None and core.signal.number == _SIGABRT and _is_own(core)


def _is_own(core: Core) -> bool:
    """Whether the process sent the signal itself."""
    signal = core.signal
    return (
        signal is not None
        and signal.code in (_SI_TKILL, _SI_USER)
        and core.process is not None
        and signal.pid == core.process.pid
    )


def in_system_call(walked: ThreadWalk, space: AddressSpace, machine: Machine) -> bool:
    """Whether a thread waits in the kernel, or has just come back from there."""
    call = machine.system_call_instruction
    return space.read(walked.status.registers.get(machine.pc_name, 0) - len(call), len(call)) == call


def _is_own_doing(fault: Fault, core: Core) -> bool:
    """Whether the process sent the signal itself: neither did an instruction fault nor was it shot."""
    info, process = fault.info, core.process
    return info is None or ((info.code or 0) <= 0 and (process is None or info.pid in (None, process.pid)))


def behind_handler(
    walked: ThreadWalk, core: Core, space: AddressSpace, machine: Machine, context: int = 0
) -> Fault | None:
    """The fault behind the oldest signal frame of a crash signal in a thread's stack, or that with the ucontext_t."""
    status, walk, _ = walked
    named = [frame for frame in walk.signal_frames if frame.context == context]
    for frame in named or reversed(walk.signal_frames):
        restored = machine.signal_frame(space, frame.context)
        if restored is None:
            continue
        trap = restored.trap
        registers = restored.named
        for name in machine.thread_registers:
            if name in status.registers:
                registers[name] = status.registers[name]
        pc = registers.get(machine.pc_name, 0)
        raw = space.read(frame.info, 48)
        info = notes.signal_info(raw) if raw is not None else None
        if info is None or not 0 < info.number <= 64 or not -64 < (info.code or 0) <= 128:
            # The kernel writes siginfo_t for handlers with SA_SIGINFO only; the trap is always there.
            info = machine.signal_of_trap(trap, pc, lambda address: permits(core, address, 0))
            decoded = machine.decode(space, pc, registers, lambda address: True)
            if info is None or not machine.could_raise(trap, decoded, pc):
                continue
        if info is None or info.number not in _CRASH_SIGNALS:
            continue
        taker = core.threads[0].tid
        return Fault(status.tid, taker, core.signal, info, frame, registers, trap["trapno"], trap["err"])
    return None
