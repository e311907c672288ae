"""Native memory exhausted under the JVM.

What it finds: the JVM ended itself because the system refused it memory: malloc or mmap failed.
Why it matters: the Java heap is not what is full; a limit of the process, the container or the machine was met.
Evidence it needs: VMError's words or number, and what the process had mapped.
False alarms: none; whose limit it was is what has to be found.
Rivals excluded: an OutOfMemoryError of Java code; a signal; a failed check: the JVM words each differently.
What to do: compare what is mapped with the limits, then lower the parts or raise the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report, VmError
from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.systems import system
from postmortem.rules import advice
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _memory
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_MALLOC, _MMAP = 0xE0000001, 0xE0000002
"""VMError's numbers since JDK 8: OOM_MALLOC_ERROR, OOM_MMAP_ERROR; 0xE0000003 is OOM_MPROTECT_ERROR."""
_MPROTECT = 0xE0000003
_REPORTS = ("report_vm_out_of_memory", "vm_exit_out_of_memory")
_CALL = Lazy(r"pthread_\w+")
"""A call of the system that failed for want of memory stands where the purpose does."""
_TOP = 4
_BEYOND = 1 << 47
"""No process of Linux on x86-64 has so much address space (with 4 levels of page tables)."""
_THREADS = ("cannot create", "unable to create", "failed to start thread")
"""The words for a refused thread: they stand under the same heading as refused memory."""
_HOST = (
    ("host.memory_limit", "the container's limit"),
    ("host.memory_used", "what the control group used"),
    ("host.memory", "the machine's memory"),
    ("host.memory_available", "what was left of it"),
    ("host.swap_free", "free swap"),
    ("host.commit_limit", "what the system promises at most"),
    ("host.commit_available", "what was left of it"),
    ("host.committed", "what it had promised"),
    ("jvm.heap.maximum", "the Java heap's maximum"),
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding: a cause where the report proves one, else the refusal alone."""
    error = jvm_views.error(report) or VmError()
    words = f"{error.message or ''} {error.detail or ''}".lower()
    told = "native memory allocation" in words or "insufficient memory" in words
    reporting = _reporting(report) if error == VmError() else ""
    if (error.id not in (_MALLOC, _MMAP, _MPROTECT) and not told and not reporting) or refused_thread(report):
        return
    if error.size is not None and error.size >= _BEYOND:
        yield _impossible(report, error.size)
        return
    purpose = (error.detail or "").rstrip(". ")
    amount = jvm_exhaustion.amount
    asked = f"{amount(error.size)} " if error.size else ""
    kinds = sorted(report.memory.by_kind.items(), key=lambda item: -item[1])[:_TOP]
    parts = "; ".join(f"{kind} {amount(size)}" for kind, size in kinds)
    causes = tuple(_memory.causes(report, error.size or 0, error.id == _MALLOC))
    first = causes[0] if causes else None
    short = "; ".join(cause.brief for cause in causes[:2])
    starting = _starting(report)
    thrown = _thrown(report)
    yield Finding(
        rule=RULE.id,
        title=(
            f"The system refused the JVM {asked or 'more '}memory{starting}{_for(purpose)}"
            + (f"; {short}" if causes else "; which limit was met is not known")
        )[:240],
        severity="critical",
        confidence=first.sure if first is not None else "certain",
        claim="cause" if first is not None else "observation",
        explanation=(
            "The JVM asked the system for memory for itself and got none, so it ended."
            + "".join(f" {cause.text}" for cause in causes)
            + ("" if causes else f" {_memory.excluded(report, error.size or 0)} Which limit was met, is not told.")
            + thrown
            + (f" Address space by use: {parts}." if parts else "")
        ).replace("  ", " "),
        rivals=first.rivals if first is not None else _memory.open_rivals(report, error.size or 0),
        evidence=proof(
            report,
            (reporting, "the VM reports it"),
            ("jvm.error.message", "what the VM said"),
            ("jvm.error.detail", "what the memory was for"),
            ("jvm.error.size", "bytes asked for"),
            *_HOST,
            *((cause.where, cause.what) for cause in causes if cause.where not in dict(_HOST)),
            ("jvm.exception_counts" if thrown else "", "errors that the VM counted"),
        ),
        remedies=(
            *dict.fromkeys(cause.remedy for cause in causes),
            *(
                (_memory.ELSEWHERE,)
                if system(report).name is None and _memory.not_of_linux(report)
                else advice.limits(report, known=bool(causes))
                if _memory.forbidden_code(report) is None
                else ()
            ),
            *(_ROOM if _memory.forbidden_code(report) is None else ()),
        ),
    )


_ROOM = (
    "Leave room beside the heap: -Xmx, thread stacks, metaspace, code cache and direct memory must all fit.",
    "Start with -XX:NativeMemoryTracking=summary and compare jcmd PID VM.native_memory over time.",
)


def _impossible(report: Report, size: int) -> Finding:
    """A number of bytes that no system could give."""
    error = jvm_views.error(report) or VmError()
    signed = f" ({size - (1 << 64)} as a signed number)" if size >> 63 else ""
    purpose = _for((error.detail or "").rstrip(". "))
    return Finding(
        rule=RULE.id,
        title=f"The JVM asked for an impossible size, {size} bytes{purpose}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"The JVM asked the system for {size} bytes{signed}{purpose}, which is more than any address space, and"
            " ended as it got none. That is an error in the computation of a size, not a lack of memory: no limit was"
            " met."
        ),
        evidence=proof(
            report,
            ("jvm.error.message", "what the VM said"),
            ("jvm.error.detail", "what the memory was for"),
            ("jvm.error.size", "bytes asked for"),
        ),
        remedies=(
            "Look at who passes the size: Unsafe.allocateMemory, a native library or an agent with a negative or"
            " overflown number, or a flag of the JVM.",
            "Where only code of the JVM is on the stack, update to the newest release and search its bug database.",
        ),
    )


def refused_thread(report: Report) -> bool:
    """The system refused a thread, not memory."""
    error = jvm_views.error(report) or VmError()
    notes = " ".join(report.jvm.notes) if report.jvm is not None else ""
    words = f"{error.message or ''} {error.detail or ''} {notes}".lower()
    return "thread" in words and any(start in words for start in _THREADS)


def _for(purpose: str) -> str:
    """What the memory was for, where that says something: the VM's own addresses don't."""
    if not purpose or purpose.lower().startswith(("failed to commit area", "committing reserved memory")):
        return ""
    if _CALL.fullmatch(purpose):
        return f" that {purpose}() needs"
    return f" for {purpose}"


def _starting(report: Report) -> str:
    uptime = report.jvm.uptime if report.jvm is not None else None
    first = any(
        plain(frame.function or "") in ("Threads::create_vm", "JNI_CreateJavaVM")
        for frame in views.crashing_frames(report)
    )
    return " at its start" if first or (uptime is not None and uptime < 1) else ""


def _thrown(report: Report) -> str:
    counted = report.jvm.exception_counts if report.jvm is not None else {}
    errors = {name: count for name, count in counted.items() if name.startswith("OutOfMemoryError")}
    if not errors:
        return ""
    words = ", ".join(f"{name.removeprefix('OutOfMemoryError ')} {count}" for name, count in errors.items())
    return f" The VM counted OutOfMemoryErrors before: {words}."


def _reporting(report: Report) -> str:
    """The path of the VM's frame that reports a failed allocation, where its words are lost; "" when there is none."""
    for index, frame in enumerate(views.crashing_frames(report)[:60]):
        if jvm_frames.is_vm(frame) and plain(frame.function or "") in _REPORTS:
            return views.frame_path(report, index)
    return ""


RULE = Rule(id="jvm-native-oom", group="jvm", specificity=91, check=check, documentation=__doc__ or "")
