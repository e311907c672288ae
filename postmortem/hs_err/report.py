"""A report made of a log alone: the same facts under the same names as those of a core."""

from __future__ import annotations

import re
import signal as signals
from typing import TYPE_CHECKING

import msgspec

from parsers.elf.notes import SignalInfo
from postmortem.fault import siginfo
from postmortem.fault.crash import crash as describe_crash
from postmortem.fault.describe import Describer
from postmortem.fault.fault import Fault
from postmortem.hs_err import frames, space
from postmortem.hs_err.clock import written
from postmortem.hs_err.host import host
from postmortem.hs_err.jvm import jvm, unhandled
from postmortem.machines.machine import machine_of
from postmortem.model import (
    NO_NATIVE_FRAMES,
    WALK_ENDED,
    Address,
    Core,
    Crash,
    Frame,
    JavaThread,
    Memory,
    Problem,
    Process,
    RegisterNote,
    Report,
    Signal,
    Thread,
    Tool,
)
from postmortem.model.queries.recursion import cycles
from postmortem.model.thread import StackRange
from postmortem.program.modules import ModuleMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsers.hs_err import HsErrLog
    from parsers.hs_err import model as log
    from postmortem.model import Module
    from postmortem.model.process import Access
    from postmortem.model.thread import Trust

_ITS_VALUE = re.compile(r"0x[0-9a-fA-F]{1,16}:? (?:is (?=pointing|an?\b))?")
_LINES_OF_OBJECT = 2
_LONGEST_NOTE = 400
_BYTES_SHOWN = 16
_PROGRAM_COUNTERS = ("rip", "pc", "eip")
_UNKNOWN_SHOWN = 5
_LOGS_SHOWN = 8
_TID_BITS = 32
_SCANNED = 64
_SI_TKILL = -6
_SI_KERNEL = 128
_ACCESS_VIOLATION = "EXCEPTION_ACCESS_VIOLATION"
_OF_INSTRUCTIONS = ("SIGILL", "SIGTRAP", "SIGFPE")
"""Signals with whose siginfo comes the instruction's address, not one that it touched."""
"""Words of stack to look through for a caller."""
_HEAD_ONLY = "the log has no stack; this frame is the one that its head names"
_NO_STACK = "the log has no stack"
_LEFT_OUT = "the log leaves out further frames"
_ACCESS: tuple[tuple[str, Access], ...] = (("read", "read"), ("writ", "write"), ("exec", "execute"))


def from_log(told: HsErrLog, path: str, size: int, version: str) -> Report:
    """The report of a log, its rules not yet run. size: bytes of the file."""
    mappings, modules = space.mappings(told), space.modules(told)
    registers = {register.name.lower(): register.value for register in told.thread.registers if not register.words}
    fault = _as_told(_crash(told, registers), told)
    threads = _threads(told, fault, registers)
    sizes: dict[str, int] = {}
    for mapping in mappings:
        kind = mapping.kind or "anonymous"
        sizes[kind] = sizes.get(kind, 0) + mapping.end - mapping.start
    return Report(
        tool=Tool(name="postmortem", version=version),
        core=Core(path=path, size=size, format="hs_err", machine=_machine(told), truncated=not told.ended),
        problems=tuple(_problems(told, path)),
        process=Process(pid=told.header.pid, command="java", environment=dict(told.vm.environment)),
        crash=fault,
        threads=threads,
        modules=modules,
        mappings=mappings,
        memory=Memory(by_kind=sizes, mappings=told.libraries.total or len(mappings)),
        jvm=jvm(told),
        host=host(told),
    )


def _machine(told: HsErrLog) -> str | None:
    platform = "" if told.header.vm is None else told.header.vm.platform or ""
    return {"amd64": "x86_64", "aarch64": "aarch64"}.get(platform.rpartition("-")[2])


def signal(told: HsErrLog) -> Signal | None:
    """The signal, by its Linux number whatever system wrote the log; of Windows the exception's name and code."""
    info, header = told.thread.siginfo, told.header
    name = (None if info is None else info.name) or header.signal_name
    told_so = unhandled(header)
    if name is None and told_so in {item.value for item in signals.Signals}:
        return Signal(number=told_so, name=signals.Signals(told_so).name)
    if name is None or (info is None and header.kind in ("internal-error", "out-of-memory")):
        return None  # INVALID (0xe0000002): VMError's own number where a signal's stands
    number = getattr(signals, name, None)
    if not isinstance(number, signals.Signals):
        code = (None if info is None else info.exception) or header.error_id or 0
        return Signal(number=code, name=name, fault_address=_address(info))
    if info is None or info.code is None:
        return Signal(number=int(number), name=name, fault_address=_address(info))
    return siginfo.describe(_siginfo(info, int(number)))


def _address(info: log.SignalInfo | None) -> Address | None:
    return None if info is None or info.address is None else Address(info.address)


def _siginfo(info: log.SignalInfo, number: int) -> SignalInfo:
    code, address = siginfo.code_of(number, info.code_name) or info.code or 0, info.address
    if code == _SI_TKILL and info.sender_pid is None and address is not None:
        # JDK 8 prints the union's first word as an address here; it holds the sender's pid and uid.
        return SignalInfo(number, 0, code, None, address & 0xFFFFFFFF, address >> 32, None, None)
    return SignalInfo(number, 0, code, address, info.sender_pid, info.sender_uid, None, None)


def _crash(told: HsErrLog, registers: dict[str, int]) -> Crash:
    shown, info = signal(told), told.thread.siginfo
    tid = _tid(told)
    pc = next((registers[name] for name in _PROGRAM_COUNTERS if name in registers), told.header.pc)
    if pc is None:
        pc = told.thread.instructions_pc
    inner = next(iter(told.thread.native_frames), None)
    if pc is None and told.header.kind is None and inner is not None and (inner.module, inner.function) == (None, None):
        pc = inner.address  # a frame without a name is printed by its pc
    if shown is None and not pc:
        pc = None  # printed as 0 where there was no fault
    touched = None if shown is None or shown.name in _OF_INSTRUCTIONS else shown.fault_address
    if shown is not None and shown.code == _SI_KERNEL:
        touched = None  # the kernel had no address to give: 0 stands for none
    violation = shown is not None and shown.name == _ACCESS_VIOLATION
    coded = info is not None and (info.code is not None or violation)
    if shown is None or info is None or not coded or tid is None or "rip" not in registers:
        return Crash(
            signal=shown,
            tid=tid,
            pc=None if pc is None else Address(pc),
            fault_address=touched,
            fault_address_source=None if touched is None else "the log",
            access=_windows_access(info),
        )
    found = space.mappings(told)
    stacks = [
        (thread.stack.start, thread.stack.end, thread.id)
        for thread in (*told.process.java_threads, *told.process.other_threads)
        if thread.stack is not None and thread.id is not None
    ]
    # What Windows calls an access violation is a SIGSEGV, and so its instruction is read.
    words = SignalInfo(int(signals.SIGSEGV), 0, 1, touched, None, None, None, None) if violation else None
    words = words or _siginfo(info, shown.number)
    memory = space.memory(told)
    fault = Fault(tid, tid, words, words, None, registers, registers.get("trapno"), registers.get("err"))
    machine = machine_of("x86_64")
    describer = Describer(memory, found, ModuleMap([]), lambda address: None, stacks, machine)
    described = describe_crash(fault, memory, describer, None, machine)
    if not violation:
        return described
    # Its list has libraries only, and no permissions: where pc lies says nothing of the access, and what is not in the
    # list may be mapped.
    listed = touched is not None and describer.mapping(touched) is not None
    return msgspec.structs.replace(
        described,
        signal=shown,
        access=_windows_access(info) or described.access,
        fault_address=touched,
        fault_address_source=None if touched is None else "the log",
        fault_address_text=describer.text(touched) if touched is not None and listed else None,
    )


def _as_told(fault: Crash, told: HsErrLog) -> Crash:
    """With what the log itself says: its date, the bytes at pc, and what the registers point at."""
    words = {location.where.lower(): location for location in told.thread.register_locations}
    values = {register.name.lower(): register.value for register in told.thread.registers if not register.words}
    notes = tuple(
        RegisterNote(register=name, value=Address(values[name]), text=_pointed(words[name]))
        for name in values
        if name in words
    )
    date = written(told)
    return msgspec.structs.replace(
        fault,
        registers=notes + tuple(note for note in fault.registers if note.register not in words),
        instruction_bytes=fault.instruction_bytes or _bytes_at(fault.pc, told),
        time=date,
        time_source=None if date is None else "log",
    )


def _pointed(location: log.Location) -> str:
    """The log's words without the value that they begin with, and the first of the object's further lines."""
    text = _ITS_VALUE.sub("", location.text)
    more = [line.strip() for line in location.details[:_LINES_OF_OBJECT] if line.strip()]
    return "; ".join((text or location.text, *more))[:_LONGEST_NOTE]


def _bytes_at(pc: Address | None, told: HsErrLog) -> str | None:
    found = None if pc is None else space.memory(told).read_some(pc, _BYTES_SHOWN)
    return found.hex() if found else None


def _tid(told: HsErrLog) -> int | None:
    """The kernel's number of the crashing thread.

    The head of logs up to JDK 8 has its pthread_t instead; it stands in where the thread's own line is missing.
    """
    crashed = _crashed(told)
    return (None if crashed is None else crashed.id) or told.header.tid


def _crashed(told: HsErrLog) -> log.Thread | None:
    """The crashing thread: of its own section, else the one that the list of threads marks."""
    listed = (*told.process.java_threads, *told.process.other_threads)
    return told.thread.thread or next((thread for thread in listed if thread.current), None)


def _windows_access(info: log.SignalInfo | None) -> Access | None:
    words = "" if info is None else info.access or ""
    return next((kind for start, kind in _ACCESS if words.startswith(start)), None)


def _threads(told: HsErrLog, fault: Crash, registers: dict[str, int]) -> tuple[Thread, ...]:
    crashed, tid = _crashed(told), _tid(told)
    found: dict[int, Thread] = {}
    whose: list[Thread] = []
    if tid is not None or told.thread.native_frames or told.thread.java_frames or told.header.problematic_frame:
        stack = told.thread.stack
        sp = registers.get("rsp", registers.get("sp", None if stack is None else stack.sp))
        modules = space.modules(told)
        native, java = told.thread.native_frames, told.thread.java_frames
        first = told.header.problematic_frame
        alone = not native and not java and first is not None
        if first is not None:
            native = _with_head(first, native, java, told.header.pc)
        listed = frames.stack(native, java, modules, fault.pc, sp)
        listed = listed if sp is None else _completed(listed, fault, sp, told, modules)
        if java and first is not None and not told.thread.native_frames and listed and listed[0].kind == "native":
            listed = (msgspec.structs.replace(listed[0], note=NO_NATIVE_FRAMES), *listed[1:])
        elif java and len(told.thread.native_frames) == 1 and listed and listed[0].kind == "native":
            listed = (msgspec.structs.replace(listed[0], note=WALK_ENDED), *listed[1:])
        cut = told.thread.native_frames_cut or told.thread.java_frames_cut
        crashing = Thread(
            tid=tid,
            name=None if crashed is None else crashed.name,
            crashed=True,
            registers={name: Address(value) for name, value in registers.items()},
            stack=_range(crashed, stack),
            frames=listed,
            cycles=cycles(listed),
            ended="unreadable" if alone or not listed else "limit" if cut else "bottom",
            ended_detail=_HEAD_ONLY if alone else _NO_STACK if not listed else _LEFT_OUT if cut else None,
            java=None if crashed is None else _java(crashed),
        )
        if tid is None:
            whose.append(crashing)
        else:
            found[tid] = crashing
    for thread in (*told.process.java_threads, *told.process.other_threads):
        if thread.id is not None and thread.id not in found:
            found[thread.id] = Thread(
                tid=thread.id,
                name=thread.name,
                stack=_range(thread, None),
                ended="unreadable",
                ended_detail="a log shows the stack of the crashing thread only",
                java=_java(thread),
            )
    return (*whose, *found.values())


def _with_head(
    first: log.Frame, native: tuple[log.Frame, ...], java: tuple[log.Frame, ...], pc: int | None
) -> tuple[log.Frame, ...]:
    """The native frames with the head's "Problematic frame", which is the frame at pc.

    Windows' walk has no names for generated code: `C  0x0000019053155d8f`. Where the walk failed, the log may have
    the Java frames alone.
    """
    if not native:
        return (first,) if not java or first.kind in "CV" else native
    inner = native[0]
    nameless = inner.kind == "C" and inner.module is None and inner.function is None
    if nameless and first.kind in "jJAv" and pc is not None and inner.address == pc:
        return (first, *native[1:])
    return native


def _completed(
    listed: tuple[Frame, ...], fault: Crash, sp: int, told: HsErrLog, modules: tuple[Module, ...]
) -> tuple[Frame, ...]:
    """The stack with what the VM could not walk.

    After a call to nowhere the pc is a frame of its own; newer VMs list its caller first, older ones only the pc. A
    libjvm without frame pointers ends the native frames after one, though a library called it. A function of a C
    library that builds no frame is followed by its caller's caller. In all of these the return address lies in the dump
    of the stack's top.
    """
    rest = listed
    head: tuple[Frame, ...] = ()
    if fault.access == "execute" and fault.pc is not None:
        head = (Frame(pc=fault.pc, sp=Address(sp), kind="unknown", trust="context"),)
        rest = listed[1:] if listed and listed[0].pc == fault.pc else listed
        if not rest or rest[0].kind != "native":
            return (*head, *_return_address(told, modules, sp, 1, None), *rest)
    native = sum(frame.kind == "native" for frame in rest)
    kinds = tuple(frame.kind for frame in rest[:2])
    if native == 1 and kinds == ("native", "java-interpreted") and not head:
        first = rest[0]
        return (first, *_return_address(told, modules, sp, _SCANNED, first.module), *rest[1:])
    inner = rest[0].module if rest and rest[0].kind == "native" else None
    # Windows' walk has the unwind information of every function.
    if not head and inner is not None and len(rest) > 1 and not inner.lower().endswith((".dll", ".exe")):
        skipped = tuple(_return_address(told, modules, sp, 1, inner, "scan"))
        if skipped and skipped[0].module != rest[1].module:
            return (rest[0], *skipped, *rest[1:])
        if rest[1].pc is not None and rest[1].pc == space.memory(told).word(sp):
            called = msgspec.structs.replace(rest[1], sp=Address(sp + 8), trust="frame-pointer")
            return (rest[0], called, *rest[2:])
    return (*head, *rest)


def _return_address(
    told: HsErrLog,
    modules: tuple[Module, ...],
    sp: int,
    words: int,
    besides: str | None,
    trust: Trust = "frame-pointer",
) -> Iterator[Frame]:
    """The nearest word of the stack that lies in the code of a module other than `besides`.

    trust: of the word right at sp, where what a call has just pushed lies.
    """
    memory = space.memory(told)
    for slot in range(sp, sp + 8 * words, 8):
        value = memory.word(slot)
        module = next((item for item in modules if value is not None and item.start < value < item.end), None)
        if value is None or module is None or module.path == besides or not _in_code(told, value):
            continue
        yield Frame(
            pc=Address(value),
            sp=Address(slot + 8),
            trust=trust if words == 1 else "scan",
            module=module.path,
            module_offset=Address(value - module.bias),
            note="a return address in the log's dump of the stack",
        )
        return


def _in_code(told: HsErrLog, address: int) -> bool:
    return any(
        "x" in (row.permissions or "") and row.end is not None and row.start < address < row.end
        for row in told.libraries.mappings
    )


def _range(thread: log.Thread | None, stack: log.Stack | None) -> StackRange | None:
    if stack is not None and stack.low is not None and stack.high is not None:
        return StackRange(start=Address(stack.low), end=Address(stack.high))
    if thread is None or thread.stack is None:
        return None
    return StackRange(start=Address(thread.stack.start), end=Address(thread.stack.end))


def _java(thread: log.Thread) -> JavaThread:
    return JavaThread(
        name=thread.name,
        daemon=thread.daemon if thread.kind == "JavaThread" else None,
        thread_state=thread.state,
        kind=thread.kind,
        address=None if thread.address is None else Address(thread.address),
    )


def _parts(told: HsErrLog) -> Iterator[str]:
    """What an excerpt has, in words."""
    thread, process = told.thread, told.process
    for words, there in (
        ("versions", told.header.vm or told.header.runtime or told.system.vm_info),
        ("the command line", told.summary.command_line or told.vm.arguments.jvm_args),
        ("the crashing thread", thread.thread),
        ("a stack", thread.native_frames or thread.java_frames),
        ("siginfo", thread.siginfo),
        ("registers", thread.registers or thread.register_locations),
        ("threads", process.java_threads or process.other_threads),
        ("the heap", told.heap.spaces),
        ("events", told.events),
        ("the memory map", told.libraries.mappings),
        ("flags", told.vm.flags),
        ("the operating system", told.system.os or told.system.uname),
        ("the processor", told.system.cpu or told.summary.cpu),
        ("memory", told.system.memory or told.system.meminfo),
    ):
        if there:
            yield words


def _problems(told: HsErrLog, path: str) -> Iterator[Problem]:
    if told.normalised:
        share = f"{told.coverage.understood} of {told.coverage.total} lines were understood"
        what = f"the log was pasted; undone: {', '.join(told.normalised)}; then {share}"
        yield Problem(stage="log", where=path, what=what, hint="the file that the JVM wrote has all lines as they were")
    if told.logs:
        lines = ", ".join(str(number) for number in sorted(told.logs)[:_LOGS_SHOWN])
        what = f"the file holds parts of {len(told.logs)} logs, which begin at lines {lines}"
        what += f"; this report is of the one at line {told.logs[0]}"
        yield Problem(stage="log", where=path, what=what, hint="cut the file there, and give each log by itself")
    if told.others:
        yield Problem(
            stage="log", where=path, what=f"{told.others} lines between the log's are other writers': left out"
        )
    if told.header.kind is None:
        what = "the log has no head: what ended the JVM is told only as far as other sections do"
        what += f"; it has {', '.join(_parts(told)) or 'nothing that is known'}"
        yield Problem(stage="log", where=path, what=what, hint="get the whole file, from its first line")
    elif told.header.kind == "signal" and told.thread.siginfo is None:
        what = "no siginfo: the signal's code and the address that was touched are not known"
        yield Problem(stage="log", where=path, what=what, hint="the log has a line that begins siginfo:")
    if not told.ended:
        yield Problem(stage="log", where=path, what="the log ends early: sections that should follow are missing")
    if told.unknown:
        lines = ", ".join(str(line.number) for line in told.unknown[:_UNKNOWN_SHOWN])
        share = f"{told.coverage.understood} of {told.coverage.total}"
        yield Problem(stage="log", where=path, what=f"{share} lines were understood; not understood: line {lines}")
    if (_tid(told) or 0) >> _TID_BITS:
        what = "the head of this version has the crashing thread's pthread_t"
        what += "; the VM does not know the thread, so its tid is not in the log" if told.thread.is_native else ""
        what += "" if told.thread.is_native else "; its tid is in the section T H R E A D, which is not there"
        yield Problem(stage="log", where=path, what=what)
    for error in told.report_errors:
        yield Problem(stage="log", where=path, what=f"the JVM failed while it wrote the log: {error.text}")
    for name in told.limits_reached:
        yield Problem(stage="log", where=path, what=f"{name}: more entries than are kept")
