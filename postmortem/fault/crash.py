"""The fault put together: signal, instruction, the address that was touched, and how."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

import msgspec

from postmortem.fault.allocation import Asked
from postmortem.fault.brokenframe import broken_frame
from postmortem.fault.describe import Describer
from postmortem.fault.exitlist import is_destroyed
from postmortem.fault.fault import unreachable
from postmortem.fault.holders import Holders
from postmortem.fault.nowhere import Nowhere, nowhere, table_call
from postmortem.fault.others import other_faults
from postmortem.fault.siginfo import describe
from postmortem.model import Address, Crash, RegisterNote
from postmortem.model.process import PointerSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.elf.core import Core
    from postmortem.fault.fault import Fault
    from postmortem.machines.machine import Decoded, Machine
    from postmortem.model import Mapping, Operand, Signal, Thread
    from postmortem.program.memory import AddressSpace
    from postmortem.program.program import Program
    from postmortem.symbols.symbolication import Symbolication
    from postmortem.unwind.threads import ThreadWalk

SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT = 11, 7, 8, 4, 5, 6
_CPU_FAULTS = (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP)
_IN_ALLOCATOR = (SIGABRT, SIGSEGV, SIGBUS)
"""How free() ends the process that gave it a bad pointer: by a check, or by a fault."""
SI_KERNEL = 128
_MAPERR = 1

Access = Literal["read", "write", "execute"]


def signal_only(core: Core) -> Crash:
    """What the core itself names, when the fault is not looked for."""
    return Crash(signal=describe(core.signal))


def crash_of(
    fault: Fault | None,
    program: Program,
    symbols: Symbolication,
    mappings: Sequence[Mapping],
    threads: Sequence[Thread],
    machine: Machine,
    walks: Sequence[ThreadWalk] = (),
    freed: Callable[[int], str | None] = lambda address: None,
) -> Crash:
    """The fault of the report; one that is empty when the core has no thread. walks: of all threads. freed: the
    allocator to which an address is free memory."""
    if fault is None:
        return Crash()
    stacks = [
        (thread.stack.start, thread.stack.end, thread.tid)
        for thread in threads
        if thread.stack is not None and thread.tid is not None
    ]
    describer = Describer(program.memory, mappings, program.modules, symbols.symbol_at, stacks, machine)
    pc = fault.registers.get(machine.pc_name, 0)
    at = symbols.symbol_at(pc)
    made = crash(fault, program.memory, describer, None if at is None else pc - at[1], machine)

    def name(address: int) -> str | None:
        found = symbols.symbol_at(address)
        return None if found is None else found[0]

    others = other_faults(walks, fault, program.core, program.memory, machine, name)
    made = msgspec.structs.replace(made, others=others)
    if made.operands and made.signal is not None and made.signal.number in (SIGSEGV, SIGBUS) and walks:
        frames = walks[0].walk.frames[0 if fault.frame is None else fault.frame.position + 1 :]
        stack_pointers = [walked.status.registers.get(machine.sp_name, 0) for walked in walks]
        destroyed = functools.partial(is_destroyed, program, machine, threads, stack_pointers)
        holders = Holders(program.memory, describer, symbols.symbol_at, freed, threads, machine, destroyed)
        made = msgspec.structs.replace(
            made,
            holders=holders.all(made, frames),
            result_of=holders.result_of(made, frames),
            broken_frame=broken_frame(frames, program, symbols.symbol_at, machine),
        )
    if made.signal is None or made.signal.number not in _IN_ALLOCATOR or not walks or not walks[0].crashed:
        return made
    if made.signal.number != SIGABRT and _is_of_program(program, pc):
        return made
    asked = Asked(walks[0].walk.frames, program.memory, symbols.symbol_at, machine)
    own = threads[0].stack if threads else None
    stack = (own.start, own.end) if own is not None else None
    if made.signal.number != SIGABRT:
        return msgspec.structs.replace(made, freed=asked.freed(stack, program.modules.at))
    return msgspec.structs.replace(made, freed=asked.freed(stack), requested=asked.size())


def _is_of_program(program: Program, pc: int) -> bool:
    """Whether an address lies in an executable that has no libc, and so no allocator of libc's, linked into it."""
    modules = program.modules
    return modules.named("libc.so") is not None and modules.at(pc) is modules.executable


def crash(
    fault: Fault, space: AddressSpace, describer: Describer, function_start: int | None, machine: Machine
) -> Crash:
    """The fault of the report. `function_start`: address of the function that holds pc, if known."""
    registers = fault.registers
    pc = registers.get(machine.pc_name, 0)
    shown = describe(fault.info)
    own = describe(fault.own)
    decoded: Decoded | None = None
    disassembly: tuple[tuple[Address, str], ...] = ()
    executable = _is_executable(describer, pc, shown, machine)
    if shown is not None and shown.number in _CPU_FAULTS and (shown.code or 0) > 0 and executable:

        def mapped(address: int) -> bool:
            return describer.mapping(address) is not None

        decoded = machine.decode(space, pc, registers, mapped)
        disassembly = machine.listing(space, pc, function_start)
    address, source, access = _touched(fault, shown, decoded, describer, pc, executable, machine)
    gone: Nowhere | None = None
    if shown is not None and not executable and shown.number in (SIGSEGV, SIGBUS):
        gone = nowhere(space, registers, describer, machine)
    table = None if gone is None else gone.table_call
    if decoded is not None and decoded.mnemonic == "call":
        table = table_call(space, decoded, describer, machine)
    return Crash(
        signal=shown,
        tid=fault.tid,
        pc=Address(pc),
        instruction=decoded.text if decoded else None,
        instruction_bytes=decoded.code.hex() if decoded else None,
        mnemonic=decoded.mnemonic if decoded else None,
        access=access,
        unwrapped=fault.info is not fault.own,
        handler_signal=own if fault.info is not fault.own else None,
        handler_tid=fault.taker if fault.taker != fault.tid else None,
        fault_address=None if address is None else Address(address),
        fault_address_source=source,
        fault_address_text=None if address is None else _there(fault, shown, address, describer),
        operands=decoded.operands if decoded else (),
        operand_values=decoded.values if decoded else {},
        disassembly=disassembly,
        registers=tuple(
            RegisterNote(register=name, value=Address(registers[name]), text=describer.text(registers[name]))
            for name in machine.shown
            if name in registers
        ),
        trap_number=fault.trap,
        error_code=fault.error,
        call_site=None if gone is None else gone.call_site,
        pointer_source=None if decoded is None else _source(space, decoded, pc, function_start, describer, machine),
        table_call=table,
        returned=gone is not None and gone.returned,
        return_neighbours=() if gone is None else gone.return_neighbours,
        code_references=() if gone is None else gone.code_references,
    )


def _source(
    space: AddressSpace, decoded: Decoded, pc: int, function_start: int | None, describer: Describer, machine: Machine
) -> PointerSource | None:
    """Of the operand whose address can't be reached."""
    operand = unreachable(decoded.operands)
    if operand is None or operand.base in (None, machine.pc_name, machine.sp_name):
        return None
    at = machine.loaded_from(space, pc, function_start, operand.base)
    if at is None:
        at = machine.loaded_once(space, pc, function_start, operand.base)
        if at is not None and space.word(at) != operand.base_value:
            return None
    found = None if at is None else describer.symbol(at)
    if found is None:
        return None
    return PointerSource(register=operand.base, symbol=found[0], offset=found[1], module=found[3])


def _is_executable(describer: Describer, pc: int, shown: Signal | None, machine: Machine) -> bool:
    """Whether the CPU could fetch the instruction: by its mapping, or, where no mapping is known (a log that lists
    only some), by the fault being at another address."""
    mapping = describer.mapping(pc)
    if mapping is not None:
        return "x" in mapping.permissions
    address = None if shown is None or shown.code == SI_KERNEL else shown.fault_address
    return address is not None and not pc <= address < pc + machine.longest_instruction


def _there(fault: Fault, shown: Signal | None, address: int, describer: Describer) -> str:
    """What lies at the address; a signal's handler may have mapped it since."""
    text = describer.text(address)
    refused = shown is not None and shown.number == SIGSEGV and shown.code == _MAPERR
    if refused and fault.info is not fault.own and describer.mapping(address) is not None:
        return f"not mapped then; in the core {text}"
    return text


def _touched(
    fault: Fault,
    shown: Signal | None,
    decoded: Decoded | None,
    describer: Describer,
    pc: int,
    executable: bool,
    machine: Machine,
) -> tuple[int | None, str | None, Access | None]:
    """(address, how it is known, access) of a memory fault.

    On x86-64 the kernel gives no address with a general protection fault (SI_KERNEL): non-canonical
    operands, misaligned SIMD, privileged instructions and jumps to non-canonical targets look alike and are
    told apart by the decoded operands.
    """
    if shown is None or shown.number not in (SIGSEGV, SIGBUS) or (shown.code or 0) <= 0:
        return None, None, None
    given = shown.fault_address
    if not executable and (given is None or given == pc or shown.code != SI_KERNEL):
        return pc, "the program counter", "execute"
    if shown.code != SI_KERNEL and given:
        return given, "si_addr", _access_kind(fault, decoded, given, machine)
    if shown.code != SI_KERNEL and given == 0 and shown.number == SIGSEGV:
        return 0, "si_addr", _access_kind(fault, decoded, 0, machine)
    if decoded is None:
        return None, None, None
    for operand in decoded.operands:
        if not operand.canonical:
            return operand.address, f"computed from {operand.text}: not a canonical address", _plain(operand)
    for operand in decoded.operands:
        if operand.alignment and operand.address % operand.alignment:
            why = f"computed from {operand.text}: not a multiple of {operand.alignment}"
            return operand.address, why, _plain(operand)
    if decoded.target is not None and not machine.canonical(decoded.target):
        return decoded.target, f"the target of {decoded.mnemonic}: not a canonical address", "execute"
    if shown.number == SIGBUS and decoded.operands:
        operand = decoded.operands[0]
        if operand.size and operand.address % operand.size:
            return (
                operand.address,
                f"computed from {operand.text}: not a multiple of {operand.size}",
                _plain(operand),
            )
    return None, None, None


def _plain(operand: Operand) -> Access:
    return (
        "write" if operand.access in ("write", "read-write") else "execute" if operand.access == "execute" else "read"
    )


def _access_kind(fault: Fault, decoded: Decoded | None, address: int, machine: Machine) -> Access | None:
    """From the CPU's page-fault error code where a signal frame holds it, else from the instruction."""
    told = machine.page_access(fault.trap, fault.error)
    if told is not None or decoded is None:
        return told
    for operand in decoded.operands:
        if operand.address <= address < operand.address + max(operand.size, 1):
            return _plain(operand)
    return decoded.access
