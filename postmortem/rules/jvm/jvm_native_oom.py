"""Native memory exhausted under the JVM.

What it finds: the JVM ended itself because the system refused it memory: malloc or mmap failed.
Why it matters: the Java heap is not what is full; a limit of the process, the container or the machine was met.
Evidence it needs: VMError's words or number, and what the process had mapped.
False alarms: none; whose limit it was is what has to be found.
Rivals excluded: an OutOfMemoryError of Java code; a signal; a failed check: the JVM words each differently.
What to do: compare what is mapped with the limits, then lower the parts or raise the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Host, Report, VmError
from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_MALLOC, _MMAP = 0xE0000001, 0xE0000002
"""VMError's numbers since JDK 8: OOM_MALLOC_ERROR, OOM_MMAP_ERROR; 0xE0000003 is OOM_MPROTECT_ERROR."""
_MPROTECT = 0xE0000003
_REPORTS = ("report_vm_out_of_memory", "vm_exit_out_of_memory")
_TOP = 4
_NEAR = 0.95
_LITTLE = 0.03
"""The part of a machine's memory below which it is out of memory: the kernel keeps some, and pages of files count."""
_LOW, _NO_SWAP = 0.1, 0.01
"""With its swap used up a machine refuses memory earlier: Windows grants what memory and page file hold, no more."""
_MANY_THREADS = 2000
_MAX_MAPPINGS = 65_530
"""vm.max_map_count's default."""
_HOST = (
    ("host.memory_limit", "the container's limit"),
    ("host.memory_used", "what it used of it"),
    ("host.memory", "the machine's memory"),
    ("host.memory_available", "what was left of it"),
    ("host.swap_free", "free swap"),
    ("jvm.heap.maximum", "the Java heap's maximum"),
)
_UNKNOWN = (
    "Address space (ulimit -v), the number of mappings, overcommit, the container or the machine was at its limit;"
    " which, this report does not tell."
)
_LESS = "Lower -Xmx (or -XX:MaxRAMPercentage), or give the machine or container more memory."


class Cause(NamedTuple):
    """Something that was short: in a few words, in a sentence, the place in the report that tells, what to do."""

    brief: str
    text: str
    where: str
    what: str
    remedy: str


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    error = jvm_views.error(report) or VmError()
    words = f"{error.message or ''} {error.detail or ''}"
    told = "native memory allocation" in words.lower() or "insufficient memory" in words.lower()
    reporting = _reporting(report) if error == VmError() else ""
    if error.id not in (_MALLOC, _MMAP, _MPROTECT) and not told and not reporting:
        return
    purpose = (error.detail or "").rstrip(". ")
    asked = f"{jvm_exhaustion.amount(error.size)} " if error.size else ""
    kinds = sorted(report.memory.by_kind.items(), key=lambda item: -item[1])[:_TOP]
    parts = "; ".join(f"{kind} {jvm_exhaustion.amount(size)}" for kind, size in kinds)
    causes = tuple(_causes(report, error.size or 0))
    short = f"; {causes[0].brief}" if causes else ""
    yield Finding(
        rule=RULE.id,
        title=f"The system refused the JVM {asked or 'more '}memory{': ' + purpose if purpose else ''}{short}"[:200],
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(
            "The JVM asked the system for memory for itself and got none, so it ended."
            + "".join(f" {cause.text}" for cause in causes)
            + ("" if causes else f" {_UNKNOWN}")
            + (f" Address space by use: {parts}." if parts else "")
        ),
        evidence=proof(
            report,
            (reporting, "the VM reports it"),
            ("jvm.error.message", "what the VM said"),
            ("jvm.error.detail", "what the memory was for"),
            ("jvm.error.size", "bytes asked for"),
            *_HOST,
            *((cause.where, cause.what) for cause in causes if cause.where not in dict(_HOST)),
        ),
        remedies=(
            *dict.fromkeys(cause.remedy for cause in causes),
            "Compare ulimit -v, vm.max_map_count, vm.overcommit_memory and the container's limit with what is mapped.",
            "Leave room beside the heap: -Xmx, thread stacks, metaspace, code cache and direct memory must all fit.",
            "Start with -XX:NativeMemoryTracking=summary and compare jcmd PID VM.native_memory over time.",
        ),
    )


def _reporting(report: Report) -> str:
    """The path of the VM's frame that reports a failed allocation, where its words are lost; "" when there is none."""
    for index, frame in enumerate(views.crashing_frames(report)[:60]):
        if jvm_frames.is_vm(frame) and plain(frame.function or "") in _REPORTS:
            return views.frame_path(report, index)
    return ""


def _causes(report: Report, asked: int) -> Iterator[Cause]:
    """What was short, as far as the report tells; asked: bytes, 0 when it is not known."""
    host = report.host or Host()
    amount = jvm_exhaustion.amount
    if host.memory_limit and host.memory_used is not None and host.memory_used + asked >= _NEAR * host.memory_limit:
        yield Cause(
            "the container was at its limit",
            f"The container had used {amount(host.memory_used)} of the {amount(host.memory_limit)} that it may.",
            "host.memory_limit",
            "the container's limit",
            _LESS,
        )
    limit = host.limits.get("AS", "infinity").partition("/")[0]
    if limit not in ("infinity", "unlimited", ""):
        yield Cause(
            "its address space is limited",
            f"The address space of the process is limited to {limit} (ulimit -v); what is reserved counts, too.",
            "host.limits.AS",
            "the limit on the address space",
            "Start the JVM without ulimit -v: it reserves much more than it uses.",
        )
    if report.memory.mappings >= _NEAR * _MAX_MAPPINGS:
        yield Cause(
            "it had no mappings left",
            f"The process has {report.memory.mappings:,} mappings; the kernel allows {_MAX_MAPPINGS:,} by default.",
            "memory.mappings",
            "mappings of the process",
            "Raise vm.max_map_count, or find what maps so much (threads, mapped files, ZGC on a large heap).",
        )
    if len(report.threads) >= _MANY_THREADS:
        yield Cause(
            f"it had {len(report.threads):,} threads",
            f"The process has {len(report.threads):,} threads; the stack of each takes address space, two mappings or"
            " more and what of it was used.",
            "threads",
            "threads of the process",
            "Find out who starts threads without end; bound the pools, use -Xss for smaller stacks.",
        )
    yield from _machine(host, asked)


def _machine(host: Host, asked: int) -> Iterator[Cause]:
    """Whether the machine itself was short of memory."""
    amount = jvm_exhaustion.amount
    if host.memory is None or host.memory_available is None:
        return
    left = host.memory_available + (host.swap_free or 0)
    swap = f", {amount(host.swap_free)} of swap" if host.swap else ", no swap"
    free = f"Of the machine's {amount(host.memory)} memory {amount(host.memory_available)} were left{swap}"
    swapped_out = bool(host.swap) and (host.swap_free or 0) < _NO_SWAP * (host.swap or 0)
    tight = swapped_out and host.memory_available < _LOW * host.memory
    if tight or left < max(asked, _LITTLE * host.memory):
        large = asked >= _LITTLE * host.memory
        yield Cause(
            f"the machine had {amount(left)} left" if large else "the machine was out of memory",
            f"{free}: too little for {amount(asked)} more." if large else f"{free}: it was out of memory.",
            "host.memory_available",
            "what was left of the machine's memory",
            _LESS
            if large
            else "See what else took the machine's memory at that time; the JVM is the one that asked"
            " last, which need not be the one that holds most.",
        )
    else:
        yield Cause(
            "though the machine had memory left",
            f"{free}, so memory itself was not short: a limit of the process or of its container, strict overcommit"
            " (vm.overcommit_memory=2), or a Java heap that lies where malloc's heap would have to grow.",
            "host.memory_available",
            "what was left of the machine's memory",
            "Look for a limit: ulimit -a, the control group's memory.max and pids.max, vm.overcommit_memory,"
            " vm.max_map_count; -XX:HeapBaseMinAddress moves the Java heap out of malloc's way.",
        )


RULE = Rule(id="jvm-native-oom", group="jvm", specificity=91, check=check, documentation=__doc__ or "")
