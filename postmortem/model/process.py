"""The process, its fault, its modules and its mappings."""

from __future__ import annotations

from typing import Literal

import msgspec

from postmortem.model.address import Address
from postmortem.model.thread import RegisterNote

Access = Literal["read", "write", "execute"]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """Who died. `command` is the kernel's 15-byte name; `arguments` the command line as far as kept."""

    pid: int | None = None
    ppid: int | None = None
    uid: int | None = None
    command: str | None = None
    arguments: tuple[str, ...] = ()
    executable: str | None = None
    environment: dict[str, str] = {}
    forked: bool | None = None
    """True where the process' first thread runs on a stack that pthread_create made: fork() was called by another
    thread than the first of the parent, and no program was executed since."""


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A signal as siginfo_t tells it. `code_name` is the si_code macro, `meaning` the words for it."""

    number: int
    name: str
    code: int | None = None
    code_name: str | None = None
    fault_address: Address | None = None
    sender_pid: int | None = None
    sender_uid: int | None = None
    meaning: str | None = None
    syscall: int | None = None
    """si_syscall of a SIGSYS."""
    syscall_name: str | None = None


class Operand(msgspec.Struct, frozen=True, kw_only=True):
    """A memory operand of the faulting instruction, evaluated from the registers."""

    text: str
    address: Address
    size: int
    """Bytes accessed."""
    access: Literal["read", "write", "read-write", "execute"]
    base: str | None = None
    base_value: Address | None = None
    index: str | None = None
    index_value: Address | None = None
    scale: int = 1
    displacement: int = 0
    canonical: bool = True
    mapped: bool = False
    alignment: int | None = None
    """Alignment in bytes that the instruction demands, if it does."""
    pointer: str | None = None
    """The base register's value in the program's own words: account, order->customer, items[2].price."""
    target: str | None = None
    """What lies at the address, in these words: account->balance."""


class PointerSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where the faulting operand's base register was loaded from just before: a variable, by its symbol."""

    register: str
    symbol: str
    offset: int
    module: str


class OtherFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of another thread than the one that the report is about, at the time when that ended the process.

    handled: the thread was in the handler of the signal; else it stands at the instruction, which must fault.
    """

    tid: int
    signal: Signal
    pc: Address
    function: str | None = None
    handled: bool


class TableCall(msgspec.Struct, frozen=True, kw_only=True):
    """The table of functions through which a call went to nowhere, as registers and symbols have it.

    table: "vtable for Sink". slot: address of the pointer that was called; offset: of the slot from the start of the
    table, whose size is `size`, in bytes.
    """

    table: str
    module: str
    slot: Address
    offset: int
    size: int


class FreedPointer(msgspec.Struct, frozen=True, kw_only=True):
    """What free or realloc (`call`) was given by the call in which the allocator ended the process, or
    faulted.

    on_stack: it lies on the thread's stack; frame: in the frame of this function. size: of the chunk, as the word
    before the block has it. listed: the chunk is on a list of free chunks, whose neighbours lead back to it, and the
    next one says that it is free.
    """

    address: Address
    call: Literal["free", "realloc"]
    on_stack: bool = False
    frame: str | None = None
    size: Address | None = None
    listed: bool = False


class CodeReference(msgspec.Struct, frozen=True, kw_only=True):
    """A word of the crashing thread that points into the same gap between mappings as pc. place: stack, or thread
    descriptor (struct pthread, which has the thread's start routine)."""

    place: Literal["stack", "thread descriptor"]
    at: Address
    value: Address


class PointerHolder(msgspec.Struct, frozen=True, kw_only=True):
    """The memory that the bad pointer was read from, or that an argument of the crashing functions leads to, as far as
    it tells that the object there was not alive.

    address: of the word, or the argument's value. argument: path of the argument's text in the report; None where the
    code shows that the pointer itself was read from `address`.
    place: dead stack: in the stack of thread `tid`, `below` bytes below the frames of its functions, where only
    functions that have returned, and those of libc that another thread waits in, have had theirs. freed: in a block
    that `allocator` has on a list of free ones, or beyond its last one. static: in the object `symbol`, `offset` bytes
    into it, of `module`; unset: each of its `size` bytes is zero.
    """

    address: Address
    place: Literal["dead stack", "freed", "static"]
    argument: str | None = None
    name: str | None = None
    """Of the argument."""
    tid: int | None = None
    below: int | None = None
    allocator: str | None = None
    symbol: str | None = None
    offset: int | None = None
    size: int | None = None
    module: str | None = None
    unset: bool = False
    destroyed: bool | None = None
    """Of a static object: exit() has come to its destructor; False: one is registered, and its turn has not come; None:
    none is known."""


class BrokenFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The frame of `function`, from which the callers are not found, has no return address: `value`, at `slot`, is no
    address of code.

    jump_buffer: address of a jmp_buf that setjmp() filled in this very frame, whose stack pointer it has; set_at: where
    it would go on.
    """

    slot: Address
    value: Address
    function: str
    jump_buffer: Address | None = None
    set_at: Address | None = None


class TypeLayout(msgspec.Struct, frozen=True, kw_only=True):
    """A type as a function of the stack was compiled with it, that has an object of it in a variable.

    members: "member timeout at 8". size: bytes.
    """

    function: str
    module: str
    variable: str
    size: int
    members: tuple[str, ...]


class LayoutMismatch(msgspec.Struct, frozen=True, kw_only=True):
    """One object that two functions take for a type of one name and of two layouts. here: the inner function's."""

    type: str
    address: Address
    here: TypeLayout
    there: TypeLayout


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """The fault. `unwrapped`: it was found behind a signal handler; `handler_signal` is the core's own, and
    `handler_tid` the thread that took it, where another one than the fault's ended the process.

    `trap_number` and `error_code` are the CPU's, from the signal frame. `disassembly` are lines around
    pc, the faulting one marked by its address equal to pc.
    """

    signal: Signal | None = None
    tid: int | None = None
    pc: Address | None = None
    instruction: str | None = None
    instruction_bytes: str | None = None
    mnemonic: str | None = None
    access: Access | None = None
    unwrapped: bool = False
    handler_signal: Signal | None = None
    handler_tid: int | None = None
    fault_address: Address | None = None
    """The address that was touched: si_addr, or computed from the operand where the kernel gives none."""
    fault_address_source: str | None = None
    fault_address_text: str | None = None
    """What lies at that address, in words."""
    operands: tuple[Operand, ...] = ()
    operand_values: dict[str, int] = {}
    """Values of register and memory source operands that a rule needs (divisor, dividend)."""
    operand_sources: dict[str, str] = {}
    """Where these came from, in the program's own words: divisor: count; callee: ops->close, the pointer that a call
    to where no code is went through."""
    disassembly: tuple[tuple[Address, str], ...] = ()
    registers: tuple[RegisterNote, ...] = ()
    trap_number: int | None = None
    error_code: int | None = None
    call_site: str | None = None
    """For a jump to nowhere: the call instruction before the return address."""
    pointer_source: PointerSource | None = None
    """The variable that the bad pointer was read from, where the code before the fault names it."""
    table_call: TableCall | None = None
    """For a call to nowhere through a register: the table that the register points into."""
    freed: FreedPointer | None = None
    """What was to be freed, where an allocator ended the process."""
    requested: int | None = None
    """The bytes that operator new was asked for, where it ended the process."""
    others: tuple[OtherFault, ...] = ()
    """Faults of other threads at the same time."""
    returned: bool = False
    """pc, where no code is, was taken from the stack as a return address: it still lies just below the stack pointer,
    and no call there led to it."""
    return_neighbours: tuple[Address, ...] = ()
    """The words of the stack beside that return address, where it is so."""
    code_references: tuple[CodeReference, ...] = ()
    """Where pc is in no mapping: what else of the thread points into that gap."""
    holders: tuple[PointerHolder, ...] = ()
    """Where the bad pointer came from, as far as that place tells something; what the code shows comes first."""
    result_of: str | None = None
    """The function whose result the null pointer is, as the code shows."""
    broken_frame: BrokenFrame | None = None
    layouts: LayoutMismatch | None = None
    """Of a memory fault: two functions on the stack were compiled with two definitions of a type."""
    time: str | None = None
    """ISO 8601. Without an offset it is the local time of the machine that wrote the log."""
    time_source: Literal["log", "name", "file"] | None = None
    """The log's own date; the name that systemd-coredump gave the core; else the time at which the core's file was
    last written, which copying changes."""


class ModuleCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was looked at for a module, and what came of it. wanted: its own file, or its debug file."""

    path: str
    outcome: str
    wanted: Literal["module", "debug"] = "module"


class Hardening(msgspec.Struct, frozen=True, kw_only=True):
    """How a module was built to withstand attacks and mistakes, as its file says; None: not of this machine.

    canary, fortified: it calls __stack_chk_fail, or checked forms of libc's functions; None: not known, of a stripped
    static program, and of one whose libc calls __stack_chk_fail in any case.
    """

    relro: Literal["none", "partial", "full"]
    canary: bool | None
    fortified: bool | None
    executable_stack: bool
    text_relocations: bool
    position_independent: bool
    indirect_branch_tracking: bool | None = None
    shadow_stack: bool | None = None
    branch_target_identification: bool | None = None


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """An ELF file mapped in the process, [start, end), and the file found for it here.

    status: matched, mismatched (another build-id), missing, deleted (its path ends in " (deleted)").
    symbols: where names came from: symtab, dynsym, debuglink, build-id, gnu_debugdata, gopclntab, core, none.
    """

    path: str
    soname: str | None = None
    build_id: str | None = None
    start: Address
    end: Address
    bias: Address
    status: Literal["matched", "mismatched", "missing", "deleted"] = "missing"
    file: str | None = None
    file_build_id: str | None = None
    symbols: str | None = None
    candidates: tuple[ModuleCandidate, ...] = ()
    package: dict[str, str] = {}
    """What .note.package says: name, version, osCpe, …"""
    needed: tuple[str, ...] = ()
    """From here on: of modules that were examined (`--modules`, or where a finding needs it). DT_NEEDED."""
    missing_libraries: tuple[str, ...] = ()
    """Of these, what is not mapped."""
    missing_versions: tuple[str, ...] = ()
    """ "GLIBC_2.38 of libc.so.6": symbol versions that it needs and no mapped build of the library defines."""
    interpreter: str | None = None
    libc: str | None = None
    """glibc or musl: what it was built for."""
    compilers: tuple[str, ...] = ()
    """.comment."""
    build_flags: str | None = None
    """.GCC.command.line, else DW_AT_producer with its options, of the first units."""
    hardening: Hardening | None = None


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping of the process. `offset` is the file offset; `dumped` the bytes that the core holds.

    file_size: bytes of the file at that path here, when it was analyzed; of the mapping that raised SIGBUS only.
    """

    start: Address
    end: Address
    permissions: str
    offset: int | None = None
    path: str | None = None
    kind: str | None = None
    dumped: int = 0
    file_size: int | None = None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of address space by kind of mapping."""

    by_kind: dict[str, int] = {}
    mappings: int = 0
    dumped: int = 0
