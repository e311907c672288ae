"""What rules ask of a report, each in one place. Nothing here raises on an absent fact."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain, shown
from postmortem.model.queries.registers import STACK_POINTERS, THREAD_POINTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.model import Address, Frame, Mapping, Operand, Report, Thread

SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV = 4, 5, 6, 7, 8, 11
SIGSTOP, SIGXCPU, SIGXFSZ, SIGSYS = 19, 24, 25, 31
SEGV_MAPERR, SEGV_ACCERR = 1, 2
BUS_ADRALN, BUS_ADRERR = 1, 2
SI_USER, SI_KERNEL, SI_QUEUE, SI_TKILL = 0, 128, -1, -6

_OF_INSTRUCTIONS = ("SIGSEGV", "SIGILL", "SIGTRAP", "SIGBUS")
RAISES = re.compile(r"_*(abort|raise|pthread_kill|t?g?kill|sigqueue)(?:_implementation|_internal)?")
"""With what a process sends itself a signal, by plain name."""

_PYTHON = re.compile(r"libpython[\d.]+[^/]*\.so.*|python[\d.]*")
_CGO_CALLS = ("runtime.cgocall", "runtime.cgocall.abi0")
_GO_CLOSURE = re.compile(r"\.func\d+$")

FIRST_PAGE = 4096
NEAR_NULL = 65536
"""Addresses below are taken for a member of an object at address 0: vm.mmap_min_addr keeps them unmapped."""


def is_log(report: Report) -> bool:
    """The report is of a fatal error log alone."""
    return report.core.format.startswith("hs_err")


def in_signal_handler(report: Report, thread: Thread) -> bool:
    """Whether a signal's handler had interrupted a thread. Of a log's crashing thread, that writes it, always."""
    if thread.crashed and (report.crash.unwrapped or is_log(report)):
        return True
    return any(frame.kind == "signal" for frame in thread.frames)


def signal_is(report: Report, *numbers: int) -> bool:
    """The fault's signal (the unwrapped one) is one of `numbers`."""
    return report.crash.signal is not None and report.crash.signal.number in numbers


def code(report: Report) -> int | None:
    """si_code of the fault."""
    return report.crash.signal.code if report.crash.signal is not None else None


def raised_by_cpu(report: Report) -> bool:
    """The kernel raised the signal for an instruction; False for kill, raise and when it is unknown."""
    value = code(report)
    return value is not None and value > 0 and not raised_on_stack(report)


def raised_on_stack(report: Report) -> bool:
    """The innermost function of a log is the one with which a process sends itself a signal.

    macOS tells of such a signal what a fault would have (SEGV_ACCERR, address 0), so the function decides.
    """
    if not is_log(report):
        return False
    frame = next((frame for frame in crashing_frames(report) if frame.kind != "signal"), None)
    if frame is None or frame.function is None or frame.trust == "scan":
        return False
    if stopped_in_abort(report):
        return False
    return RAISES.fullmatch(plain(frame.function)) is not None


def stopped_in_abort(report: Report) -> bool:
    """abort() ended by an instruction that faults, as it does where SIGABRT did not end the process.

    glibc and musl raise SIGABRT first; where that is blocked or handled and returns, hlt, udf or brk follows.
    """
    signal = report.crash.signal
    frame = next((frame for frame in crashing_frames(report) if frame.kind != "signal"), None)
    if signal is None or signal.number == SIGABRT or frame is None or frame.function is None or frame.trust == "scan":
        return False
    sent = signal.code is not None and signal.code <= 0
    return plain(frame.function) in ("abort", "__GI_abort") and not sent and signal.name in _OF_INSTRUCTIONS


def crashing_frames(report: Report) -> tuple[Frame, ...]:
    found = crashing_thread(report)
    return found[1].frames if found else ()


def frame_path(report: Report, index: int, member: str = "function") -> str:
    """Path of a member of the crashing thread's frame `index`."""
    found = crashing_thread(report)
    return f"threads[{found[0] if found else 0}].frames[{index}].{member}"


def blamed(report: Report) -> tuple[int, Frame] | None:
    """Index and frame of the function to name on the crashing thread."""
    return culprit.first(crashing_frames(report))


def blamed_path(report: Report) -> str:
    """Path of the blamed frame's name, or of its pc when it has none; a path to nowhere without one."""
    found = blamed(report)
    if found is None:
        return "threads[0].frames[0].function"
    if found[1].function is None:
        return frame_path(report, found[0], "pc")
    own = crashing_frames(report)[found[0]].function == found[1].function
    return frame_path(report, found[0], "function" if own else "tail_call")


def inside(report: Report) -> str:
    """ " in Cart::total(), checkout.cpp:42", or "" when nobody can be named."""
    found = blamed(report)
    inner = next(iter(crashing_frames(report)), None)
    if inner is not None and _in_no_file(report, inner):
        return f" in generated code at {inner.pc:#x}{called_by(report, 0)}"
    if inner is not None and at_sp(report) is not None:
        return f" in {culprit.label(inner)}"  # the next frame that is sure may be its caller's caller
    return f" in {culprit.label(found[1])}{from_go(report, found[0])}" if found else ""


def from_go(report: Report, index: int) -> str:
    """ ", called from Go by main.lookup()" for a frame of C code that Go called."""
    frames = crashing_frames(report)
    crossing = next((i for i, frame in enumerate(frames) if frame.function in _CGO_CALLS), None)
    if crossing is None or crossing < index:
        return ""
    callers = frames[crossing + 1 :]
    found = culprit.first(callers)
    while found is not None and _GO_CLOSURE.search(plain(found[1].function or "")):  # around the checks of pointers
        following = culprit.first(callers[found[0] + 1 :])
        parent = _GO_CLOSURE.sub("", plain(found[1].function or ""))
        if following is None or plain(following[1].function or "") != parent:
            break
        found = found[0] + 1 + following[0], following[1]
    return f", called from Go by {shown(found[1].function)}()" if found and found[1].function else ""


def at_fault(report: Report) -> str:
    """As `inside`, but a fault in libc is said to be there: " in libc.so.6+0x16a499, called by order_name()"."""
    found = blamed(report)
    inner = next(iter(crashing_frames(report)), None)
    if found is not None and found[0] == 0 and culprit.skipped_function(found[1].function or ""):
        # A library that takes the place of libc's function: what it was given is its caller's.
        return f"{inside(report)}{called_by(report, 0)}"
    if inner is not None and found is not None and found[0] == 0 and _is_python(inner):
        return f"{inside(report)}{_extension(report)}"
    foreign = foreign_call(report)
    if foreign is not None and inner is not None:
        called = "" if foreign.callee == 0 else f", called by {culprit.label(crashing_frames(report)[foreign.callee])}"
        return f" in {culprit.label(inner)}{called}, called from Python through {foreign.library}"
    if inner is None or inner.kind != "native" or not culprit.in_system_library(inner):
        return inside(report)
    if found is not None and found[0] == 0:
        return inside(report)
    top = at_sp(report)
    if top is not None:
        return f" in {culprit.label(inner)}, perhaps called by {culprit.label(top)}"
    # Below a stub of generated code the native frames are missing that made the call.
    direct = found is not None and not any(frame.kind == "stub" for frame in crashing_frames(report)[: found[0] + 1])
    by = f", called by {culprit.label(found[1])}{from_go(report, found[0])}" if found is not None and direct else ""
    return f" in {culprit.label(inner)}{by}"


def at_sp(report: Report) -> Frame | None:
    """The frame that the word at the stack pointer gives, where a function of a system's library was interrupted that
    builds no frame, or has not yet: its caller, if the word is no leftover."""
    frames = crashing_frames(report)[:2]
    if len(frames) < _CALL or frames[1].trust != "scan" or not culprit.in_system_library(frames[0]):
        return None
    return frames[1] if frames[0].sp is not None and frames[1].sp == frames[0].sp + WORD else None


_CALL = 2
WORD = 8


class ForeignCall(NamedTuple):
    """A C function that Python code called through a library for that. callee: the index of its frame. library: how
    Python programs import that."""

    callee: int
    library: str


def foreign_call(report: Report) -> ForeignCall | None:
    """The function that Python called through ctypes or cffi, where the fault is in it or in what it called."""
    frames = crashing_frames(report)
    for index, frame in enumerate(frames[:_FOREIGN]):
        name = file_name(frame.module) if frame.module is not None else ""
        library = next((word for begin, word in _FOREIGN_LIBRARIES if name.startswith(begin)), None)
        if frame.trust == "scan" or _is_python(frame):
            return None
        if library is not None:
            inside = [at for at in range(index) if not _FFI.fullmatch(file_name(frames[at].module or ""))]
            return ForeignCall(inside[-1], library) if inside else None
    return None


_FOREIGN = 32
_FOREIGN_LIBRARIES = (("_ctypes.", "ctypes"), ("_cffi_backend.", "cffi"))
_FFI = re.compile(r"libffi\.so.*")


def _in_no_file(report: Report, frame: Frame) -> bool:
    """Code that some program made at run time: executable memory that belongs to no file."""
    if frame.kind != "native" or frame.module is not None or frame.function is not None or frame.pc is None:
        return False
    found = mapping_at(report, frame.pc)
    return found is not None and found[1].path is None and "x" in found[1].permissions


def first_named(report: Report, test: Callable[[str], bool]) -> tuple[int, Frame] | None:
    """The innermost frame of the crashing thread whose plain name passes `test`."""
    return next(_named(crashing_frames(report), test), None)


def last_named(report: Report, test: Callable[[str], bool]) -> tuple[int, Frame] | None:
    """The outermost frame of the crashing thread whose plain name passes `test`."""
    return max(_named(crashing_frames(report), test), key=lambda item: item[0], default=None)


def _named(frames: tuple[Frame, ...], test: Callable[[str], bool]) -> Iterator[tuple[int, Frame]]:
    return (
        (index, frame)
        for index, frame in enumerate(frames)
        if frame.function is not None and test(plain(frame.function))
    )


def caller_of(report: Report, index: int) -> tuple[int, Frame] | None:
    """The function to name among the callers of frame `index`."""
    found = culprit.first(crashing_frames(report)[index + 1 :])
    return (found[0] + index + 1, found[1]) if found else None


def _is_python(frame: Frame) -> bool:
    return frame.module is not None and _PYTHON.fullmatch(file_name(frame.module)) is not None


def _extension(report: Report) -> str:
    """ ", called by describe(), desc.c:3": of a fault in CPython the function of an extension that called it."""
    for frame in crashing_frames(report)[1:]:
        if frame.trust == "scan" or (frame.function is not None and frame.function.startswith("_PyEval_")):
            return ""
        named = None if _is_python(frame) or culprit.installed_source(frame) else culprit.first((frame,))
        if named is not None:
            return f", called by {culprit.label(named[1])}"
    return ""


def caller_text(report: Report, index: int) -> str:
    """Who called frame `index`: "total(), shop.c:3", "generated code at 0x7f…, called by run()"; "" when not known."""
    above = next(iter(crashing_frames(report)[index + 1 :]), None)
    if above is not None and above.trust != "scan" and _in_no_file(report, above):
        return f"generated code at {above.pc:#x}{called_by(report, index + 1)}"
    found = caller_of(report, index)
    if (
        above is not None
        and found is not None
        and above.kind == "native"
        and culprit.skipped_module(above.module or "")
    ):
        # Where generated code lies between, the call is one of the C library's own: of a callback that it was given.
        between = crashing_frames(report)[index + 1 : found[0]]
        if above.trust != "scan" and any(frame.kind == "stub" for frame in between):
            return f"{culprit.label(above)}, below {culprit.label(found[1])}"
    return f"{culprit.label(found[1])}{from_go(report, found[0])}" if found else ""


def called_by(report: Report, index: int) -> str:
    """ ", called by total()" for frame `index`; weaker words where a scan of the stack lies in between."""
    found = caller_of(report, index)
    if found is None:
        return ""
    guessed = any(frame.trust == "scan" for frame in crashing_frames(report)[index + 1 : found[0]])
    return f", {'below' if guessed else 'called by'} {culprit.label(found[1])}"


def fault_address(report: Report) -> Address | None:
    """The address that was touched. si_addr counts only where the kernel fills it, not with SI_KERNEL, and where it
    is of memory: of an arithmetic error, a trap or an illegal instruction it is the instruction's own."""
    crash = report.crash
    if signal_is(report, SIGILL, SIGTRAP, SIGFPE, SIGSYS) or raised_on_stack(report):
        return None
    if crash.fault_address is not None:
        return crash.fault_address
    return None if crash.signal is None or crash.signal.code == SI_KERNEL else crash.signal.fault_address


def fault_address_path(report: Report) -> str:
    """Where `fault_address` was read; "" when there is none."""
    if fault_address(report) is None:
        return ""
    return "crash.signal.fault_address" if report.crash.fault_address is None else "crash.fault_address"


def refused_by_stack(report: Report) -> tuple[int, str] | None:
    """(address, where it is in the report) that an instruction wrote to below sp, in memory without access.

    Where that leaves no room for the frame of a signal handler, the kernel ends the process with SI_KERNEL, without an
    address.
    """
    if code(report) != SI_KERNEL or report.crash.fault_address is not None:
        return None
    for index, operand in enumerate(report.crash.operands):
        if operand.base not in STACK_POINTERS or operand.index is not None or operand.displacement >= 0:
            continue
        found = mapping_at(report, operand.address) if operand.address is not None and operand.canonical else None
        if found is not None and not set(found[1].permissions) & set("rwx"):
            return operand.address, f"crash.operands[{index}].address"
    return None


def pc_is_fault(report: Report) -> bool:
    """The instruction fetch itself failed."""
    pc = report.crash.pc
    return pc is not None and (pc == fault_address(report) or report.crash.access == "execute")


def fetched(report: Report) -> int | None:
    """The address whose code was to be executed. A jump to a non-canonical one faults at the jump, not there."""
    address = fault_address(report)
    return address if report.crash.access == "execute" and address is not None else report.crash.pc


def faulting_operand(report: Report) -> tuple[int, Operand] | None:
    """The memory operand that covers the fault address, else the only one, else None."""
    operands = report.crash.operands
    address = fault_address(report)
    for index, operand in enumerate(operands):
        if address is not None and operand.address <= address < operand.address + max(operand.size, 1):
            return index, operand
    return (0, operands[0]) if len(operands) == 1 and address is None else None


def access_word(report: Report) -> str:
    """ "read", "write" or "access" where it is unknown."""
    if report.crash.access in ("read", "write"):
        return str(report.crash.access)
    found = faulting_operand(report)
    if found and found[1].access in ("read", "write"):
        return found[1].access
    return "access"


def an_access(report: Report) -> str:
    """ "a read", "a write", "an access"."""
    word = access_word(report)
    return f"an {word}" if word == "access" else f"a {word}"


def mapping_at(report: Report, address: int) -> tuple[int, Mapping] | None:
    """The mapping that holds an address."""
    for index, mapping in enumerate(report.mappings):
        if mapping.start <= address < mapping.end:
            return index, mapping
    return None


def in_guard_region(report: Report, address: int) -> bool:
    """The kernel said that nothing is mapped at an address inside a mapping of the core: its pages were made a guard.

    madvise(MADV_GUARD_INSTALL) of Linux 6.13 does so without a mapping of its own; glibc 2.42 makes the guards of
    thread stacks with it.
    """
    found = mapping_at(report, address)
    inside = found is not None and found[1].permissions.startswith("rw")
    return inside and code(report) == SEGV_MAPERR and report.core.format.startswith("elf-core")


def neighbours(report: Report, address: int) -> tuple[tuple[int, Mapping] | None, tuple[int, Mapping] | None]:
    """The mappings nearest below and above an address that is in none."""
    below: tuple[int, Mapping] | None = None
    above: tuple[int, Mapping] | None = None
    for index, mapping in enumerate(report.mappings):
        if mapping.end <= address and (below is None or mapping.end > below[1].end):
            below = (index, mapping)
        if mapping.start > address and (above is None or mapping.start < above[1].start):
            above = (index, mapping)
    return below, above


def mapping_text(mapping: Mapping) -> str:
    """ "libcart.so (r-xp)", "heap (rw-p)", "anonymous memory (rw-p)"."""
    name = file_name(mapping.path) if mapping.path else None
    return f"{name or mapping.kind or 'anonymous memory'} ({mapping.permissions})"


def has_module(report: Report, *parts: str) -> str | None:
    """File name of the first module whose file name starts with one of `parts`."""
    for module in report.modules:
        name = file_name(module.path)
        if name.startswith(parts):
            return name
    return None


def java_process(report: Report) -> bool:
    """A JVM is mapped in the process."""
    return report.jvm is not None or has_module(report, "libjvm.so") is not None


def in_java_code(report: Report) -> bool:
    """The fault lies in code that the JVM generated, where it takes faults on purpose."""
    frames = crashing_frames(report)
    return bool(frames) and (frames[0].kind.startswith("java") or (java_process(report) and frames[0].kind == "stub"))


def own_stack(report: Report, thread: Thread) -> Mapping | None:
    """The memory of the stack that the thread was started with.

    Of the first thread that is the topmost writable mapping; of others libc puts the thread's descriptor, to which the
    thread pointer points, at the end of it.
    """
    writable = [mapping for mapping in report.mappings if "w" in mapping.permissions]
    if thread.tid == report.process.pid:
        return max(writable, key=lambda mapping: mapping.start, default=None)
    descriptors = [thread.registers[name] for name in THREAD_POINTERS if name in thread.registers]
    return next((m for m in writable for descriptor in descriptors if m.start <= descriptor < m.end), None)


def on_own_stack(report: Report) -> bool:
    """The stack pointer is in the stack that the thread was started with."""
    found = crashing_thread(report)
    if found is None or found[1].stack is None:
        return False
    own = own_stack(report, found[1])
    return own is not None and own.start < found[1].stack.end and found[1].stack.start < own.end


def size_text(size: int) -> str:
    """Bytes for people: "8 MiB", "1.5 GiB"; exact where it is small."""
    if size < 1 << 14:
        return f"{size} bytes"
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << shift:
            return f"{size / (1 << shift):.4g} {unit}"
    return f"{size} bytes"


def was_sent(report: Report) -> bool:
    """Whether another process sent the signal: then the thread that took it is no more telling than the others."""
    signal = report.crash.signal
    return signal is not None and signal.sender_pid is not None and signal.sender_pid != report.process.pid


def is_snapshot(report: Report) -> bool:
    """Whether the core is of a live process: the signal in it ends none (gcore, a debugger), or there is none."""
    signal = report.crash.signal
    if not report.threads or not report.core.format.startswith("elf"):
        return False
    if signal is None or signal.number == SIGSTOP:
        return True
    return signal.number in (0, SIGTRAP) and signal.code in (SI_USER, 0)


def crashing_thread(report: Report) -> tuple[int, Thread] | None:
    """The thread that crashed and its place in the report."""
    for index, thread in enumerate(report.threads):
        if thread.crashed:
            return index, thread
    for index, thread in enumerate(report.threads):
        if report.crash.tid is not None and thread.tid == report.crash.tid:
            return index, thread
    return None
