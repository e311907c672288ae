"""Native memory exhausted under the JVM.

What it finds: the JVM ended itself because the system refused it memory: malloc or mmap failed.
Why it matters: the Java heap is not what is full; a limit of the process, the container or the machine was met.
Evidence it needs: VMError's words or number, and what the process had mapped.
False alarms: none; whose limit it was is what has to be found.
What to do: compare what is mapped with the limits, then lower the parts or raise the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report, VmError
from postmortem.rules import jvm_exhaustion, jvm_frames, jvm_views, views
from postmortem.rules.names import plain
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_MALLOC, _MMAP = 0xE0000001, 0xE0000002
"""VMError's numbers since JDK 8: OOM_MALLOC_ERROR, OOM_MMAP_ERROR; 0xE0000003 is OOM_MPROTECT_ERROR."""
_MPROTECT = 0xE0000003
_REPORTS = ("report_vm_out_of_memory", "vm_exit_out_of_memory")
_TOP = 4


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
    limits = _limits(report)
    yield Finding(
        rule=RULE.id,
        title=f"The system refused the JVM {asked or 'more '}memory{': ' + purpose if purpose else ''}"[:200],
        severity="critical",
        confidence="certain",
        explanation=(
            "The JVM asked the system for memory for itself and got none, so it ended. The Java heap has nothing to do"
            " with it: address space (ulimit -v), the number of mappings, overcommit, the container or the machine was"
            f" at its limit.{f' Address space by use: {parts}.' if parts else ''}{limits}"
        ),
        evidence=proof(
            report,
            (reporting, "the VM reports it"),
            ("jvm.error.message", "what the VM said"),
            ("jvm.error.detail", "and what for"),
            ("jvm.error.size", "bytes asked for"),
            ("host.memory_limit", "the container's limit"),
            ("host.memory_used", "what it used of it"),
            ("host.memory", "the machine's memory"),
            ("host.memory_available", "what was left of it"),
            ("host.swap_free", "free swap"),
            ("jvm.heap.maximum", "the Java heap's maximum"),
            ("memory.mappings", "mappings of the process"),
        ),
        remedies=(
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


def _limits(report: Report) -> str:
    host = report.host
    if host is None:
        return ""
    parts = []
    if host.memory_limit is not None:
        parts.append(f"the container was allowed {jvm_exhaustion.amount(host.memory_limit)}")
    if host.memory is not None:
        parts.append(f"the machine has {jvm_exhaustion.amount(host.memory)}")
    if host.memory_available is not None:
        parts.append(f"{jvm_exhaustion.amount(host.memory_available)} of it were free")
    return f" As the log says, {', '.join(parts)}." if parts else ""


RULE = Rule(id="jvm-native-oom", group="jvm", specificity=91, check=check, documentation=__doc__ or "")
