"""A fatal signal that no other rule explains.

What it finds: the signal, failed check or refused memory that ended the process, where it was, and what is known.
Why it matters: how a process ended is the subject; an old library or a missing symbol beside it is not the answer.
Evidence it needs: the signal, or the words with which a JVM ended itself.
False alarms: none; it says what happened and leaves the cause open. Any rule that explains the end silences it.
Rivals excluded: another end of the process: the signal is the one that the kernel or the log names; a snapshot of a
living process, which has none.
What to do: read the named function, and get what is missing: symbols, the whole log, a core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.systems import system
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Frame

_LOWEST = 1 << 22
_UNBOUND = (
    " So low a number is no address of code: it is one as it stands in a library's file, before the loader has added"
    " where the library lies, or a function pointer that was overwritten. musl's loader (Alpine) leaves such a number"
    " where it could not bind a function, as of a library that was built for glibc."
)
_ALLOCATORS = Lazy(r"(?:lib)?(?:jemalloc|tcmalloc|mimalloc|hoard|snmalloc)")
_GUARD = 1 << 12
_SHORTEST = 3
"""Frames below which a stack is too short to tell how the program came there."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    signal = report.crash.signal
    said = _said(report)
    if signal is None and not said:
        if not views.is_log(report):
            return
        if not views.crashing_frames(report):
            yield _excerpt(report)
            return
    name = signal.name if signal is not None else "The JVM ended itself" if said else "A crash"
    place, index = _place(report)
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    found = views.crashing_thread(report)
    thread = _thread(report)
    sent = views.was_sent(report)
    yield Finding(
        rule=RULE.id,
        title=(
            f"{name}{f' in {place}' if place and not sent else ''}{_on(thread, place, index, report)}"
            + (f": {said[:160]}" if said else "")
        ),
        severity="high",
        confidence="certain",
        claim="observation",
        explanation=(
            f"{name}{at} ended the process{f' on {thread}' if thread else ''}"
            + (f", in {place}" if place else "")
            + f".{f' It said: {said}.' if said else ''}{_known(report)}{_number(report, index)} The cause is open:"
            + f" {_missing(report, place)}"
        ),
        evidence=proof(
            report,
            ("crash.signal.name", "the signal"),
            ("crash.signal.code_name", "how it was raised"),
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.fault_address_text", "what lies there"),
            ("crash.instruction", "the instruction"),
            ("crash.pc", "the program counter"),
            (views.frame_path(report, index) if index is not None else "", "the innermost function that is known"),
            ("jvm.error.message", "what the JVM said"),
            ("jvm.error.detail", "and in detail"),
            (f"threads[{found[0]}].name" if found is not None else "", "the thread"),
        ),
        remedies=tuple(_remedies(report, place)),
    )


def _excerpt(report: Report) -> Finding:
    """A log without its head: it is of a JVM that died, but does not tell of what."""
    jvm = report.jvm
    parts = {
        "the version": jvm is not None and jvm.version is not None,
        "threads": bool(report.threads),
        "registers": bool(report.crash.registers) or any(thread.registers for thread in report.threads[:1]),
        "the heap": jvm is not None and jvm.heap is not None,
        "events": jvm is not None and any(log.events for log in jvm.events),
        "libraries": bool(report.mappings or report.modules),
        "arguments": jvm is not None and bool(jvm.arguments),
        "the machine": report.host is not None
        and (report.host.operating_system is not None or report.host.cpu is not None or report.host.memory is not None),
    }
    there = ", ".join(name for name, has in parts.items() if has) or "nothing that tells of the crash"
    if parts["the version"] and parts["arguments"] and not parts["registers"] and report.crash.pc is None:
        return _alive(report, there)
    return Finding(
        rule=RULE.id,
        title="Excerpt of a fatal error log: what ended the JVM is not in it",
        severity="info",
        confidence="certain",
        claim="observation",
        explanation=(
            "The log's head (the signal or error, its place) and the crashing thread's stack are missing, so no"
            " cause can"
            f" be told. What is there: {there}."
        ),
        evidence=proof(report, ("core.format", "what the file is"), ("jvm.version", "the JVM")),
        remedies=('Get the whole log, from its first line ("A fatal error has been detected") on.',),
    )


def _alive(report: Report, there: str) -> Finding:
    """The version and the command line without an error and a crashing thread: VMError::print_vm_info's output."""
    return Finding(
        rule=RULE.id,
        title="No crash is in this text: it is what jcmd VM.info prints of a JVM that runs",
        severity="info",
        confidence="likely",
        claim="observation",
        rivals=("A fatal error log whose head and whose section on the crashing thread were cut out.",),
        explanation=(
            "It has the JVM's version and command line, but neither an error nor a crashing thread, as the output of"
            f" jcmd's VM.info. What is there: {there}."
        ),
        evidence=proof(report, ("core.format", "what the file is"), ("jvm.version", "the JVM")),
        remedies=("If the JVM did crash, look for the hs_err_pid*.log that it wrote then.",),
    )


def _said(report: Report) -> str:
    """The words with which a JVM ended itself."""
    error = report.jvm.error if report.jvm is not None else None
    return ((error.message or error.detail or "") if error is not None else "").strip().rstrip(".")


def _place(report: Report) -> tuple[str, int | None]:
    """The innermost frame that is known, and who called it where that is a library of the system."""
    frames = views.crashing_frames(report)
    index = next((number for number, frame in enumerate(frames) if _tells(frame)), None)
    if index is None:
        pc = report.crash.pc if report.crash.pc is not None or not frames else frames[0].pc
        if pc == 0:
            return "a call or jump through a null pointer", None
        if pc is None:
            return "", None
        if views.is_log(report) and not frames and not _too_low(report, pc):
            return f"the code at {pc:#x}; what lies there is not in the log", None
        # The map of a log may be an excerpt: a jump that met no code faults at its own target.
        if views.mapping_at(report, pc) is None and views.fault_address(report) == pc:
            return f"a jump to {pc:#x}, where {'nothing is mapped' if report.mappings else 'there is no code'}", None
        if _too_low(report, pc):
            return f"a jump to {pc:#x}, where there is no code", None
        return f"code at {pc:#x}, in no module", None
    frame = frames[index]
    module = (frame.module or "").replace("\\", "/").rsplit("/", 1)[-1]
    of = f" of {module}" if module and frame.function is not None else ""
    by = culprit.first(frames[index + 1 :]) if culprit.machinery(frame) else None
    return f"{culprit.label(frame)}{of}" + (f", called by {culprit.label(by[1])}" if by is not None else ""), index


def _too_low(report: Report, pc: int) -> bool:
    """No program and no library lies so low: of 64 bits the lowest is a program that is linked to 0x400000."""
    on, signal = system(report), report.crash.signal
    posix = on.name in ("linux", "macos") or (on.name is None and signal is not None and signal.name.startswith("SIG"))
    return on.bits == 64 and posix and pc < _LOWEST and views.mapping_at(report, pc) is None


def _on(thread: str, place: str, index: int | None, report: Report) -> str:
    """A library of the system alone does not tell whose the crash is: the thread tells a little more."""
    if not thread or index is None or not culprit.machinery(views.crashing_frames(report)[index]):
        return ""
    return "" if "called by" in place else f", on {thread}"


def _tells(frame: Frame) -> bool:
    known = frame.function is not None or frame.module is not None
    return known and frame.kind != "signal" and frame.trust != "scan"


def _thread(report: Report) -> str:
    found = views.crashing_thread(report)
    if found is None:
        return ""
    java = found[1].java
    name = (java.name if java is not None else None) or found[1].name
    tid = found[1].tid
    return f'thread "{name}"' if name else "a thread whose number is not known" if tid is None else f"thread {tid}"


def _number(report: Report, index: int | None) -> str:
    """What a jump to a small number may come from, on a system that may have musl as its libc."""
    pc, on = report.crash.pc, system(report)
    if index is not None or not pc or not _too_low(report, pc) or on.name == "macos" or (on.glibc and not on.musl):
        return ""
    return _UNBOUND


def _known(report: Report) -> str:
    """What the address says, in a sentence."""
    address = views.fault_address(report)
    if views.stopped_in_abort(report):
        return (
            " It is abort() that was called: it raises SIGABRT first, and where that does not end the process (blocked,"
            " ignored, or handled by one that returns) it runs into an instruction that faults. What called abort()"
            " found something wrong, or is a program's own end."
        )
    if address is None:
        if views.code(report) == views.SI_KERNEL:
            return " The kernel gives no address: SI_KERNEL is a fault whose address the CPU did not tell."
        return ""
    thread = views.crashing_thread(report)
    stack = thread[1].stack if thread is not None else None
    if stack is not None and stack.end <= address < stack.end + _GUARD:
        return " The address is just above the thread's stack: an access ran upwards beyond the stack's first frame."
    if stack is not None and stack.start <= address < stack.start + _GUARD:
        return " The address is at the low end of the thread's stack, where its guard pages lie: the stack was used up."
    found = views.mapping_at(report, address)
    if found is not None:
        return f" The address lies in {views.mapping_text(found[1])}."
    return ""


def _missing(report: Report, place: str) -> str:
    frames = views.crashing_frames(report)
    if not frames:
        return "no stack of the thread is at hand."
    if views.signal_is(report, views.SIGILL) and _of_system(frames[0]):
        return (
            "the CPU refused an instruction of the system's library. The library is built for another CPU, a newer one"
            " of its kind, or control came to the midst of an instruction there."
        )
    if len(frames) < _SHORTEST and _ALLOCATORS.match(file_name(frames[0].module or "")):
        return (
            "an allocator faults for what its caller hands to it, or for blocks that were damaged before: a write"
            " beyond a block, one that was freed twice or used after it was freed; the caller, native code, is not on"
            " this stack."
        )
    if views.stopped_in_abort(report):
        return "who called abort(), and why, is not on this stack."
    if len(frames) < _SHORTEST:
        if _of_system(frames[0]):
            return (
                "a function of the system's library faults for what its caller hands to it, a bad pointer or string, or"
                " for a heap of malloc's that was damaged before; that caller, native code, is not on this stack."
            )
        count = "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
        return f"the stack has {count}, so how the program came there is not known."
    if not place:
        return "none of the frames has a name."
    if any(culprit.machinery(frame) for frame in frames[:1]):
        return (
            "a function of the system's library faults for what its caller hands to it, a bad pointer or string, or for"
            " a heap of malloc's that was damaged before; the caller is not on this stack."
        )
    return "what is known fits several explanations."


def _of_system(frame: Frame) -> bool:
    return culprit.machinery(frame) or culprit.of_other_system(frame.module or "")


def _remedies(report: Report, place: str) -> Iterator[str]:
    if not views.is_log(report) and views.java_process(report) and aborts.aborted(report):
        # A JVM aborts so after it has reported a crash.
        yield (
            f"Find the log hs_err_pid{report.process.pid or '<pid>'}.log (working directory, /tmp, -XX:ErrorFile) and"
            " analyze it, or give it with --hs-err."
        )
    if views.stopped_in_abort(report):
        yield "Look at what the process wrote to its standard error before: what calls abort() mostly says why."
    elif place.startswith(("a jump to ", "a call or jump ")):
        yield "Get the caller: the stack of the whole log, or the return address at the stack pointer of a core."
    elif views.signal_is(report, views.SIGILL) and views.crashing_frames(report):
        yield "Compare what the library was built for with the machine's CPU (the log lists its features under CPU:)."
    elif place and "is not in the log" not in place:
        yield f"Read {place}, and what its callers handed to it."
    if views.is_log(report):
        if report.core.truncated:
            yield "Get the whole log, from its first line to its end: registers, memory map and events may tell more."
        yield "If it happens again, keep the core: with it memory and all threads can be read."
    else:
        yield "Get symbols for the modules on the crashing stack, and read the arguments of the calls."


RULE = Rule(id="fatal-signal", group="fault", specificity=20, check=check, documentation=__doc__ or "")
