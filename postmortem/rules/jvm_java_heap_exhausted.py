"""Java heap exhausted.

What it finds: an OutOfMemoryError for the Java heap ended the JVM (CrashOnOutOfMemoryError), or the heap was full to
its maximum.
Why it matters: the crash is a decision; what filled the heap is the cause.
Evidence it needs: VMError's words, or the heap's use against its maximum; the class histogram, if it was asked for.
False alarms: a heap near its maximum with a collection due is normal, so that alone is no cause.
What to do: see which classes hold the memory, then whether they leak or the heap is too small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.rules import jvm_exhaustion, jvm_views
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = 0.98
_TOP = 5


def check(report: Report) -> Iterator[Finding]:
    """At most one finding: certain where the VM said so, possible where the heap is just full."""
    heap = jvm_views.heap(report)
    said = jvm_exhaustion.ran_out_of(report, jvm_exhaustion.HEAP)
    share = None if heap is None else jvm_exhaustion.share(heap.used, heap.maximum or heap.capacity)
    if said is None and (share is None or share < _FULL):
        return
    used = maximum = None
    if heap is not None:
        used, maximum = heap.used, heap.maximum or heap.capacity
    size = f"{jvm_exhaustion.amount(used)} of at most {jvm_exhaustion.amount(maximum)} were in use"
    histogram = (report.jvm.histogram if report.jvm is not None else None) or ()
    top = "; ".join(f"{entry.class_} {jvm_exhaustion.amount(entry.bytes)}" for entry in histogram[:_TOP])
    words = said[1] if said is not None else "the Java heap is full"
    yield Finding(
        rule=RULE.id,
        title=f"Java heap exhausted: {words}" if said is not None else "Java heap full, with no room for a new object",
        severity="critical" if said is not None else "medium",
        confidence="certain" if said is not None else "possible",
        explanation=(
            (
                f"An OutOfMemoryError ({words}) was thrown and the JVM was told to end with it"
                " (-XX:+CrashOnOutOfMemoryError). "
                if said is not None
                else ""
            )
            + f"In the heap {size}"
            + (f"; most of it: {top}." if top else ".")
            + " The thread that got the error is the one that asked last, which need not be the one that holds it all."
        ),
        evidence=proof(
            report,
            (said[0] if said is not None else "", "what the VM said"),
            ("jvm.heap.used", "bytes in use"),
            ("jvm.heap.maximum", "bytes allowed"),
            ("jvm.heap.collector", "the collector"),
            ("jvm.histogram[0].class_" if histogram else "", "the class with most bytes"),
            ("jvm.histogram[0].bytes" if histogram else "", "its bytes"),
            (jvm_exhaustion.reporting_frame(report), "the VM reports it"),
        ),
        remedies=(
            *(() if histogram else ("Run postmortem analyze --histogram on this core to count its objects by class.",)),
            "Look for what keeps the largest classes alive: unbounded caches, sessions, queues that nobody drains.",
            "Run with -XX:+HeapDumpOnOutOfMemoryError to see who refers to them.",
            "If the load is meant to need it, raise -Xmx, within the container's limit.",
        ),
    )


RULE = Rule(id="jvm-java-heap-exhausted", group="jvm", specificity=90, check=check, documentation=__doc__ or "")
