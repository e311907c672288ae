"""JVM's memory over the container's limit.

What it finds: the parts of the JVM's memory add up to more than the container allows.
Why it matters: the kernel ends such a process without a word (OOM killer), or refuses it memory.
Evidence it needs: the container's limit, and the sizes of the heap and what lies beside it.
False alarms: reserved memory that is never touched does not count; the maximum of the heap is what may be touched.
What to do: make the parts fit, with room to spare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_STACK = 1 << 20
_NEAR = 0.9
AT_THE_LIMIT = 35
"""Specificity where the container had used most of what it may; else it is a remark on the settings."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    jvm, host = report.jvm, report.host
    if jvm is None or host is None or not host.memory_limit or jvm.heap is None or jvm.heap.maximum is None:
        return
    parts = {
        "Java heap, at most": jvm.heap.maximum,
        "metaspace": (jvm.metaspace.committed if jvm.metaspace is not None else None) or 0,
        "code cache": (jvm.code_cache.used if jvm.code_cache is not None else None) or 0,
        "direct memory": (jvm.direct_memory.used if jvm.direct_memory is not None else None) or 0,
        "thread stacks": len(report.threads) * _STACK // 8,
    }
    total = sum(parts.values())
    if total <= host.memory_limit:
        return
    listed = ", ".join(f"{name} {jvm_exhaustion.amount(size)}" for name, size in parts.items() if size)
    yield Finding(
        rule=RULE.id,
        title=(
            f"The JVM may use {jvm_exhaustion.amount(total)}, the container allows"
            f" {jvm_exhaustion.amount(host.memory_limit)}"
        ),
        severity="high",
        confidence="likely",
        claim="observation",
        explanation=(
            f"{listed}: together {jvm_exhaustion.amount(total)}, with an eighth of a MiB counted for each thread's"
            f" stack and nothing for malloc. The container's limit is {jvm_exhaustion.amount(host.memory_limit)}. Once"
            " the heap has grown, the kernel kills the process or refuses it memory."
        ),
        evidence=proof(
            report,
            ("host.memory_limit", "the container's limit"),
            ("host.memory_used", "what the container used"),
            ("jvm.heap.maximum", "the heap's maximum"),
            ("jvm.metaspace.committed", "metaspace"),
            ("jvm.code_cache.used", "code cache"),
            ("jvm.direct_memory.used", "direct memory"),
        ),
        remedies=(
            "Lower -Xmx or -XX:MaxRAMPercentage: three quarters of the limit for the heap is a start.",
            "Or raise the container's limit by what lies beside the heap.",
        ),
        specificity=AT_THE_LIMIT if (host.memory_used or 0) >= _NEAR * host.memory_limit else None,
    )


RULE = Rule(id="jvm-memory-over-limit", group="jvm", specificity=16, check=check, documentation=__doc__ or "")
