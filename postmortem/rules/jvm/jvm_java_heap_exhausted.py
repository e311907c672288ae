"""Java heap exhausted.

What it finds: an OutOfMemoryError for the Java heap ended the JVM (CrashOnOutOfMemoryError), or the heap was full to
its maximum.
Why it matters: the crash is a decision; what filled the heap is the cause.
Evidence it needs: VMError's words, or the heap's use against its maximum; the class histogram, if it was asked for.
False alarms: a heap near its maximum with a collection due is normal, so that alone is no cause.
Rivals excluded: a heap that is full and due for a collection: the JVM's own words say that it ended for the error; an
error for another memory (metaspace, direct, threads).
What to do: see which classes hold the memory, then whether they leak or the heap is too small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = 0.98
_NEARLY = 0.9
"""What a collector leaves unused when it gives up: a survivor space, the ends of regions."""
_TOP = 5


def check(report: Report) -> Iterator[Finding]:
    """At most one finding: certain where the VM said so, possible where the heap is just full."""
    heap = jvm_views.heap(report)
    array = jvm_exhaustion.ran_out_of(report, jvm_exhaustion.ARRAY)
    if array is not None:
        yield _array(report, *array)
        return
    said = jvm_exhaustion.ran_out_of(report, jvm_exhaustion.HEAP)
    thrown = jvm_exhaustion.thrown(report, jvm_exhaustion.HEAP)
    share = None if heap is None else jvm_exhaustion.share(heap.used, heap.maximum)
    if said is None and (share is None or share < (_NEARLY if thrown else _FULL)):
        return
    size = "how much was in use is not known"
    if heap is not None and heap.used is not None:
        bound = "" if heap.maximum is None else f" of at most {jvm_exhaustion.amount(heap.maximum)}"
        size = f"{jvm_exhaustion.amount(heap.used)}{bound} were in use"
    histogram = (report.jvm.histogram if report.jvm is not None else None) or ()
    top = "; ".join(f"{entry.class_} {jvm_exhaustion.amount(entry.bytes)}" for entry in histogram[:_TOP])
    words = said[1] if said is not None else "the Java heap is full"
    yield Finding(
        rule=RULE.id,
        title=f"Java heap exhausted: {words}" if said is not None else "Java heap full, with no room for a new object",
        severity="critical" if said is not None else "medium",
        confidence="certain" if said is not None else "possible",
        claim="cause",
        explanation=(
            (
                f"An OutOfMemoryError ({words}) was thrown and the JVM was told to end with it"
                " (-XX:+CrashOnOutOfMemoryError). "
                if said is not None
                else ""
            )
            + f"Of the heap {size}"
            + (f"; most of it: {top}." if top else ".")
            + " The thread that got the error is the one that asked last, which need not be the one that holds it all."
        ),
        evidence=proof(
            report,
            (said[0] if said is not None else "", "what the VM said"),
            (thrown or "", "the error that was thrown"),
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


def _array(report: Report, where: str, words: str) -> Finding:
    """A length that the VM allows for no array: whatever is free, it can't be had."""
    return Finding(
        rule=RULE.id,
        title="A Java array was asked for that is larger than the VM allows",
        severity="high",
        confidence="certain",
        claim="cause",
        explanation=(
            f"An OutOfMemoryError ({words}) was thrown and the JVM was told to end with it"
            " (-XX:+CrashOnOutOfMemoryError). The length asked for is beyond what an array can have, so the size of the"
            " heap does not matter: a length was computed wrongly, or read from damaged or hostile input."
        ),
        evidence=proof(
            report,
            (where, "what the VM said"),
            ("jvm.heap.used", "bytes in use"),
            ("jvm.heap.maximum", "bytes allowed"),
            (jvm_exhaustion.reporting_frame(report), "the VM reports it"),
        ),
        remedies=("Look at where the crashing thread computes the length of the array, and check it before use.",),
    )


RULE = Rule(id="jvm-java-heap-exhausted", group="jvm", specificity=90, check=check, documentation=__doc__ or "")
