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
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import _threads as jvm_threads
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = 0.98
_NEARLY = 0.9
"""What a collector leaves unused when it gives up: a survivor space, the ends of regions."""
_TOP = 5
_JUST_BEFORE = 2.0
"""Seconds from an OutOfMemoryError to the failed check that it led to."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding: certain where the VM said so, possible where the heap is just full."""
    heap = jvm_views.heap(report)
    array = jvm_exhaustion.ran_out_of(report, jvm_exhaustion.ARRAY)
    if array is not None:
        yield _array(report, *array)
        return
    said = jvm_exhaustion.ran_out_of(report, jvm_exhaustion.HEAP)
    thrown = jvm_exhaustion.thrown(report, jvm_exhaustion.HEAP)
    led = _led(report) if said is None else None
    if led is not None:
        yield _by_error(report, led)
        return
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


def _led(report: Report) -> str | None:
    """The path of an OutOfMemoryError for the Java heap that the thread got just before the VM ended itself.

    The JIT compiler that is written in Java (JVMCI, Graal) and the VM's own calls of Java can't go on after it.
    """
    failed = jvm_views.internal_error(report)
    found = views.crashing_thread(report)
    jvm = report.jvm
    if failed is None or found is None or jvm is None:
        return None
    own = found[1].java.address if found[1].java is not None else None
    for index, log in enumerate(jvm.events):
        for number in range(len(log.events) - 1, -1, -1):
            event = log.events[number]
            if event.time is None or jvm.uptime is None or jvm.uptime - event.time > _JUST_BEFORE:
                break
            mine = own is not None and event.thread == hex(own)
            if mine and "OutOfMemoryError" in event.text and jvm_exhaustion.of_heap(event.text):
                return f"jvm.events[{index}].events[{number}].text"
    counts = jvm.exception_counts.items()
    counted = any(name.startswith("OutOfMemoryError java_heap") and count for name, count in counts)
    words = jvm_views.error_words(failed).lower()
    return "jvm.exception_counts" if counted and "jvmci" in words else None


def _by_error(report: Report, where: str) -> Finding:
    failed = jvm_views.internal_error(report)
    words = jvm_views.error_words(failed) if failed is not None else ""
    seen = where.startswith("jvm.events")
    heap = jvm_views.heap(report)
    bound = f" of {jvm_exhaustion.amount(heap.maximum)}" if heap is not None and heap.maximum is not None else ""
    thread = jvm_threads.thread_words(report)
    return Finding(
        rule=RULE.id,
        title=f"Java heap{bound} exhausted: the OutOfMemoryError on {thread} made the JVM end itself",
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"The JVM ended itself ({words}) on {thread}. "
            + (
                "That thread had got an OutOfMemoryError for the Java heap just before"
                if seen
                else "The VM had counted OutOfMemoryErrors for the Java heap"
            )
            + ": the check failed because code of the VM or of its JIT compiler that is written in Java could not go on"
            " without memory. The failed check is what followed, not a defect to look for."
        ),
        rivals=("A defect of the JVM or its compiler that has nothing to do with the OutOfMemoryError.",),
        evidence=proof(
            report,
            (where, "the OutOfMemoryError"),
            ("jvm.exception_counts", "errors that the VM counted"),
            ("jvm.error.message", "what the check said"),
            ("jvm.heap.used", "bytes in use"),
            ("jvm.heap.maximum", "bytes allowed"),
        ),
        remedies=(
            "Raise -Xmx, or find what fills the heap: -XX:+HeapDumpOnOutOfMemoryError and a class histogram.",
            "-XX:+ExitOnOutOfMemoryError ends the JVM at the error itself, with the right words.",
        ),
    )


RULE = Rule(id="jvm-java-heap-exhausted", group="jvm", specificity=90, check=check, documentation=__doc__ or "")
