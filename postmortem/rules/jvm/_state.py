"""What the JVM rules ask of a report but its frames: what ended the process, flags, versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import VmError
from postmortem.model.queries import aborts, jdk
from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.registers import PROGRAM_COUNTERS, STACK_POINTERS
from postmortem.model.queries.systems import system
from postmortem.rules.jvm import _frames as jvm_frames

if TYPE_CHECKING:
    from postmortem.model import Frame, Operand, Report
    from postmortem.model.jvm import Heap

FAULT_NAMES = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP")
"""Faults by name: their numbers differ between Linux and macOS, whose logs are read, too."""
WINDOWS_EXCEPTION = "EXCEPTION_"
INTERNAL_ERROR = 0xE0000000
ARENA_LIMIT = 0xE0000005
"""VMError's id where a compilation took more memory than CompileCommand=MemLimit allows (OOM_HOTSPOT_ARENA, JDK 21)."""
"""VMError's id of a failed check of the VM; the ids above it are failed allocations (vmError.hpp)."""
_LEAST_WIDE = 1 << 24
_FIELD_OFFSETS = (0, 8, 12, 16, 20, 24)
"""Of what is read first of an object: its header, its class, an array's length, its first fields."""
_REPORTS = Lazy(r"report_(?:vm_error|fatal|should_not_\w+|unimplemented|untested)")
"""Where a failed check of the VM begins to end the process (debug.cpp); not for allocations."""


def is_jvm(report: Report) -> bool:
    """A HotSpot JVM is in the process, or its own log is what was read."""
    return views.java_process(report) or views.is_log(report)


def fault_name(report: Report) -> str:
    """ "SIGSEGV", "EXCEPTION_ACCESS_VIOLATION"; "A fault" when it is not known."""
    return report.crash.signal.name if report.crash.signal is not None else "A fault"


def fault_words(report: Report) -> str:
    """The same in the midst of a sentence."""
    return fault_name(report) if report.crash.signal is not None else "a fault"


def own_fault(report: Report) -> bool:
    """An instruction of this process faulted: neither kill, nor raise, nor abort."""
    signal = report.crash.signal
    if signal is None:
        return _stack_alone(report)
    told = signal.code is not None and not (views.is_log(report) and system(report).name == "macos")
    if told and (signal.code or 0) <= 0 and not signal.name.startswith("EXC"):
        return False
    if views.raised_on_stack(report):
        return False
    return signal.name in FAULT_NAMES or signal.name.startswith(WINDOWS_EXCEPTION)


def _stack_alone(report: Report) -> bool:
    """A log's stack without its head: the VM writes one only of a crash, whose signal is not known then."""
    frames, pc = views.crashing_frames(report), report.crash.pc
    if not views.is_log(report) or not frames or (pc is not None and pc != frames[0].pc):
        return False
    found = error(report)
    if found is not None and found != VmError():
        return False
    return not any(jvm_frames.ends_process(frame) for frame in views.crashing_frames(report))


def memory_fault(report: Report) -> bool:
    """The fault is a bad address."""
    return own_fault(report) and fault_name(report) in (
        "SIGSEGV",
        "SIGBUS",
        "EXCEPTION_ACCESS_VIOLATION",
        "EXCEPTION_IN_PAGE_ERROR",
    )


def lost_page(report: Report) -> bool:
    """A mapped page that the system could not supply: SIGBUS with BUS_ADRERR, or Windows' in-page error."""
    if fault_name(report) == "EXCEPTION_IN_PAGE_ERROR":
        return True
    return own_fault(report) and fault_name(report) == "SIGBUS" and views.code(report) == views.BUS_ADRERR


def raw_operand(report: Report) -> tuple[Operand, bool] | None:
    """The faulting operand if it uses an address as it is, and whether only raw memory access does that.

    An object is never accessed at offset 0 but for its mark word, eight bytes that are read: fields and elements
    come after the header, and an array's length is read before its elements. Shenandoah's barrier reads one byte of
    a table that a reference indexes.
    """
    found = views.faulting_operand(report)
    operands = [found[1]] if found is not None else [item for item in report.crash.operands if not item.canonical]
    for item in operands:
        if item.displacement == 0 and item.base not in (*STACK_POINTERS, *PROGRAM_COUNTERS):
            based_on_null = item.base_value == 0 and item.index is not None
            mark_word = item.size == 8 and item.access != "write"
            barrier = item.size == 1 and "shenandoah" in (collector(report) or "").lower()
            return item, based_on_null or not (mark_word or barrier)
    return None


def heap(report: Report) -> Heap | None:
    return report.jvm.heap if report.jvm is not None else None


def error(report: Report) -> VmError | None:
    return report.jvm.error if report.jvm is not None else None


def internal_error(report: Report) -> VmError | None:
    """The failed check of the VM that ended the process; failed allocations and signals are none."""
    found = error(report)
    if found is None:
        return _check_on_stack(report)
    if found.id not in (None, INTERNAL_ERROR, ARENA_LIMIT):
        return None
    if (found.message, found.detail, found.file, found.id) == (None, None, None, None):
        return None
    text = f"{found.message or ''} {found.detail or ''}".lower()
    if "outofmemory" in text or "out of memory" in text or "native memory allocation" in text:
        return None
    if found.id is None and own_fault(report):
        return None
    return found


def error_words(found: VmError) -> str:
    """What the VM said, without the final dot: "guarantee(x) failed: must be"; "" when it is not known."""
    parts = [part.strip() for part in (found.message, found.detail) if part and part.strip()]
    if len(parts) == 2 and parts[1] in parts[0]:
        parts.pop()
    return ": ".join(parts).rstrip(".")


def _check_on_stack(report: Report) -> VmError | None:
    """An error without words, where only the stack tells that the VM reported one."""
    headless = views.is_log(report) and report.crash.signal is None
    if not (aborts.aborted(report) or headless) or report.crash.unwrapped:
        return None
    names = [
        plain(f.function) for _, f in jvm_frames.site(report).native if f.function is not None and jvm_frames.is_vm(f)
    ]
    if not any(_REPORTS.fullmatch(name) for name in names) or any("out_of_memory" in name for name in names):
        return None
    return VmError(id=INTERNAL_ERROR)


def foreign_handler(report: Report) -> tuple[str, Frame] | None:
    """(path of the frame, frame) of a signal handler that stands where the VM's should, as the stack shows it.

    Only for a fault in code that the VM generated or in the VM: these it takes on purpose and mends. A handler
    that passed the signal on to the VM is none.
    """
    found = views.crashing_thread(report)
    faulted = jvm_frames.top(report)
    if found is None or faulted is None or not report.crash.unwrapped or not own_fault(report):
        return None
    if not (jvm_frames.is_generated(faulted) or jvm_frames.is_vm(faulted)):
        return None
    position, thread = found
    frames = thread.handler_frames or ()
    if any(jvm_frames.is_vm(frame) for frame in frames):
        return None
    for index in range(len(frames) - 1, -1, -1):
        frame = frames[index]
        if frame.kind == "signal" or frame.module is None or jvm_frames.is_system(frame.module):
            continue
        if jvm_frames.is_vm_library(frame.module):
            continue
        return f"threads[{position}].handler_frames[{index}]", frame
    return None


def unhandled(report: Report) -> bool:
    """A fault in code that the VM generated ended the process, and no handler had it: neither the VM's nor another's.

    The VM handles SIGSEGV and its like from its start to its end, also those that it can't mend: it writes a log and
    aborts. A process without a handler's frames on any stack died of the signal's default action.
    """
    frame = jvm_frames.top(report)
    if frame is None or not jvm_frames.is_generated(frame) or report.crash.unwrapped or views.is_log(report):
        return False
    if not own_fault(report) or report.crash.handler_tid is not None or not views.on_own_stack(report):
        return False
    found = views.crashing_thread(report)
    return found is not None and not found[1].handler_frames and error(report) is None


def unhandled_null_check(report: Report) -> bool:
    """Java code touched the first page, as it does to check for null, and no handler had the fault."""
    frame, address = jvm_frames.top(report), views.fault_address(report)
    return (
        frame is not None
        and jvm_frames.is_java(frame)
        and memory_fault(report)
        and address is not None
        and address < views.FIRST_PAGE
        and unhandled(report)
    )


def flag(report: Report, name: str) -> tuple[str, str] | None:
    """(path of its value, value) of a VM flag."""
    if report.jvm is None:
        return None
    for index, item in enumerate(report.jvm.flags):
        if item.name == name:
            return f"jvm.flags[{index}].value", item.value
    return None


def checks_jni(report: Report) -> bool:
    """-Xcheck:jni is on."""
    found = flag(report, "CheckJNICalls")
    if found is not None and found[1] == "true":
        return True
    return report.jvm is not None and "-Xcheck:jni" in report.jvm.arguments


def number_flag(report: Report, name: str) -> int | None:
    found = flag(report, name)
    return int(found[1]) if found is not None and found[1].isascii() and found[1].isdigit() else None


def major(report: Report) -> int | None:
    """The JDK's feature release: 8, 17."""
    found = jdk.release(report)
    return found[0] if found else None


def collector(report: Report) -> str | None:
    found = heap(report)
    return found.collector if found is not None else None


def ended_by_itself(report: Report) -> bool:
    """abort, or another signal that the process sent to itself."""
    return aborts.aborted(report) or aborts.own_signal(report)


def overwritten_reference(report: Report) -> str | None:
    """What a compressed reference was overwritten with, told by the address that its use touched; None: not known.

    The offset of what is read is added to such a reference, which is shifted by three bits where the heap ends above
    4 GiB: 0x41414141 then makes 0x20a0a0a08 and more. Only for a heap based at zero; four equal bytes, or four letters
    and digits.
    """
    compressed, found = flag(report, "UseCompressedOops"), heap(report)
    address = views.fault_address(report)
    ends = [space.end for space in found.spaces if space.end] if found is not None else []
    ends += [mapping.end for mapping in report.mappings if mapping.kind == "java heap"]
    if compressed is None or compressed[1] != "true" or address is None or not ends:
        return None
    shift = 0 if max(ends) <= 1 << 32 else 3
    operand = views.faulting_operand(report)
    base = operand[1].base_value if operand is not None and operand[1].index is None else None
    # The offset is the instruction's; text can be told only where that is known.
    for offset in _FIELD_OFFSETS if base is None else (address - base,):
        raw = (address - offset) >> shift
        if (address - offset) % (1 << shift) or not _LEAST_WIDE <= raw < 1 << 32:
            continue
        data = raw.to_bytes(4, "little")
        if len(set(data)) == 1 and data[0] != 0xFF:
            text = f", text {data.decode()!r}" if 0x21 <= data[0] < 0x7F else ""
            return f"four bytes {data[0]:#04x}{text}"
        if base is not None and re.fullmatch(rb"[A-Za-z0-9]{4}", data):
            return f"the text {data.decode()!r}"
    return None
