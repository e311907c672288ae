"""What differs from processor to processor, and the machines that are known.

A machine is added as a folder with a `machine.py` whose MACHINE implements the protocol, and a row in MACHINES; its
notes are parsed in a folder of the same name under parsers/elf, and a runtime that generates code has one, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from parsers.elf.notes import SignalInfo
    from postmortem.model import Address, Operand
    from postmortem.program.memory import AddressSpace

Registers = list[int | None]
"""Values by DWARF register number of the machine; the pc at the machine's own number for it. None: not known."""


class Interrupted(NamedTuple):
    """What a signal frame of the kernel holds.

    registers: of the interrupted instruction. named: the same by name, with flags. trap: of the CPU, by the
    kernel's names of its parts; number and error are there on every machine. info: address of the siginfo_t.
    """

    registers: Registers
    named: dict[str, int]
    trap: dict[str, int]
    info: int


class Decoded(NamedTuple):
    """An instruction with its evaluated memory operands.

    access: what the instruction as a whole does to memory. values: see model.Crash.operand_values.
    target: where a call, jump or return would go, if it can be told.
    """

    text: str
    code: bytes
    mnemonic: str
    operands: tuple[Operand, ...]
    values: dict[str, int]
    access: Literal["read", "write", "execute"] | None
    target: int | None
    privileged: bool


class Step(NamedTuple):
    """An instruction of a data flow. writes: whole registers that it changes.

    load: its destination from memory [base + index_register * scale + displacement], `size` bytes; copy: from register
    `base`; add: register `base` plus displacement; sum: as the address of a load; call: of a function; store: of
    register `source` to such memory; leave: control goes elsewhere. Where
    the base is the pc, displacement is the address itself.
    """

    address: int
    writes: frozenset[str]
    kind: Literal["load", "copy", "add", "sum", "call", "store", "leave", "other"]
    base: str | None = None
    index_register: str | None = None
    scale: int = 1
    displacement: int = 0
    size: int = 8
    signed: bool = False
    source: str | None = None


class Machine(Protocol):
    """One processor architecture.

    pc, sp, fp: DWARF numbers of the registers by their role; the pc's is one that no rule uses. count: how many
    numbers have values, and names the names of these and more. not_preserved: those that a call may change. top: first
    address that no process has.
    pc_name, sp_name, thread_pointer, system_call: registers of NT_PRSTATUS by role. call_arguments: those of a system
    call's arguments. result: where a function leaves what it returns. shown: registers that a report explains.
    trampoline: the instructions at which a signal handler returns. thread_registers: those that no signal frame holds;
    in a handler they are what they were before it.
    """

    pc: int
    sp: int
    fp: int
    count: int
    names: tuple[str, ...]
    not_preserved: tuple[int, ...]
    top: int
    pc_name: str
    sp_name: str
    thread_pointer: str
    thread_registers: tuple[str, ...]
    system_call: str
    call_arguments: tuple[str, ...]
    result: str
    system_call_names: dict[int, str]
    system_call_instruction: bytes
    shown: tuple[str, ...]
    trampoline: bytes
    longest_instruction: int

    def registers(self, registers: dict[str, int]) -> Registers:
        """The registers of a thread's NT_PRSTATUS."""
        ...

    def signal_frame(self, space: AddressSpace, sp: int) -> Interrupted | None:
        """What the kernel saved, at the trampoline with this sp; None when it can't be read or can't be one.

        The address of its ucontext_t serves as sp, too.
        """
        ...

    def is_signal_frame(self, space: AddressSpace, sp: int) -> bool:
        """Whether the stack itself proves that the kernel's frame of a signal is at sp: for a trampoline whose code is
        not at hand."""
        ...

    def could_raise(self, trap: dict[str, int], decoded: Decoded | None, pc: int) -> bool:
        """Whether the interrupted instruction can have raised the trap that a signal frame holds."""
        ...

    def page_access(self, trap: int | None, error: int | None) -> Literal["read", "write", "execute"] | None:
        """How a page was touched, by the trap and its error code; None for other traps."""
        ...

    def signal_of_trap(self, details: dict[str, int], pc: int, mapped: Callable[[int], bool]) -> SignalInfo | None:
        """The siginfo that the kernel makes of a trap; None for one that raises no signal of the process's own.

        mapped: whether an address lies in a mapping of the process.
        """
        ...

    def return_step(self, space: AddressSpace, registers: Registers) -> Registers | None:
        """A call whose target has not built a frame: to the return address."""
        ...

    def frameless_step(self, space: AddressSpace, registers: Registers) -> Registers | None:
        """As return_step, believed only where the code before the return address calls what pc lies in."""
        ...

    def frame_pointer_step(self, space: AddressSpace, registers: Registers) -> Registers | None:
        """By the frame pointer."""
        ...

    def scan(
        self, space: AddressSpace, registers: Registers, is_code: Callable[[int], bool], words: int
    ) -> Registers | None:
        """By the nearest word of the stack that can be a return address."""
        ...

    def step_by_code(
        self, space: AddressSpace, bounds: tuple[int, int], pc: int, interrupted: bool
    ) -> Callable[[Registers], Registers | None] | None:
        """How to leave a function by what its instructions did to the stack up to pc; None where they do not tell.

        bounds: address and size of the function.
        """
        ...

    def calls_another(self, space: AddressSpace, returns_to: int, pc: int) -> bool:
        """Whether the call before a return address is a direct one to a function behind pc."""
        ...

    def calls_here(self, space: AddressSpace, returns_to: int) -> bool | None:
        """Whether the call before a return address is of a function of its own module; None: the code is not at
        hand."""
        ...

    def loaded_from(self, space: AddressSpace, pc: int, start: int | None, register: str) -> int | None:
        """The constant address that a register was loaded from on the way to pc. start: of the function."""
        ...

    def loaded_once(self, space: AddressSpace, pc: int, start: int | None, register: str) -> int | None:
        """As loaded_from, of a register that one instruction before pc writes, on whatever way; to be compared."""
        ...

    def follows_call(self, space: AddressSpace, address: int) -> bool | None:
        """Whether the code before an address can be a call; None: it is not there."""
        ...

    def decode(
        self, space: AddressSpace, pc: int, registers: dict[str, int], mapped: Callable[[int], bool]
    ) -> Decoded | None:
        """The instruction at pc."""
        ...

    def listing(self, space: AddressSpace, pc: int, start: int | None) -> tuple[tuple[Address, str], ...]:
        """Disassembly around pc. start: of the function, where known."""
        ...

    def call_before(self, space: AddressSpace, address: int) -> str | None:
        """The call instruction that returns to an address."""
        ...

    def steps_before(
        self, space: AddressSpace, start: int, size: int, pc: int, past_labels: bool = False
    ) -> list[Step] | None:
        """The instructions that run straight to pc, in order; None when the function's `size` bytes can't be read.

        past_labels: on the way on which no jump was taken, so that what comes of it needs a proof.
        """
        ...

    def whole(self, name: str | None) -> str | None:
        """The whole register that a part of one belongs to; None for what is no register."""
        ...

    def thread_variable(self, space: AddressSpace, function: int, thread_pointer: int) -> int | None:
        """The address of a thread's variable that a function does no more than return; None: it does something else."""
        ...

    def jump_marks(self, sp: int, guard: int) -> tuple[bytes, ...]:
        """What a jmp_buf holds of a stack pointer, by each libc. guard: the process' pointer guard."""
        ...

    def jump_targets(self, space: AddressSpace, mark: int, guard: int) -> Iterator[tuple[int, int]]:
        """(address of the jmp_buf, where it goes on) for such a mark at an address."""
        ...

    def unguarded(self, word: int, guard: int) -> int:
        """The pointer that glibc keeps as this word, mixed with the process' pointer guard."""
        ...

    def below_pointers(self, space: AddressSpace, bounds: tuple[int, int]) -> dict[str, int] | None:
        """By the names of stack and frame pointer: how many bytes below them a function's instructions reach; None: not
        known. bounds: its address and size."""
        ...

    def return_slot(self, cfa: int) -> int | None:
        """Where a frame with this canonical frame address has its return address; None: in a register."""
        ...

    def canonical(self, address: int) -> bool:
        """Whether the processor takes an address at all."""
        ...


MACHINES: Mapping[str, str] = {"x86_64": "postmortem.machines.x86_64.machine"}
"""Name as parsers.elf.core gives it → module with MACHINE."""


def machine_of(name: str, table: Mapping[str, str] = MACHINES) -> Machine:
    """The machine of a core. Raises KeyError for one that is not known: the parser refuses those."""
    machine: Machine = import_module(table[name]).MACHINE
    return machine
