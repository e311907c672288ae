"""Java heap exhausted.

What it finds: an OutOfMemoryError for the Java heap ended the JVM (CrashOnOutOfMemoryError), or a JVM that was ended
otherwise had a full heap that collections could not empty.
Why it matters: the crash is a decision; what filled the heap is the cause.
Evidence it needs: VMError's words, or the heap's use against its maximum; the class histogram, if it was asked for.
False alarms: a heap near its maximum with a collection due is normal, so that alone is possible only. It is likely
where a collection of the whole heap has just left it full, where such collections took much of the time since the
start, where threads wait for memory, or where the error was thrown shortly before.
Rivals excluded: a heap that is full and due for a collection: the JVM's own words say that it ended for the error; an
error for another memory (metaspace, direct, threads).
What to do: see which classes hold the memory, then whether they leak or the heap is too small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import _threads as jvm_threads
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = 0.98
_LEAST = 0.8
_NEARLY = 0.9
"""What a collector leaves unused when it gives up: a survivor space, the ends of regions."""
_TOP = 5
_JUST_BEFORE = 2.0
"""Seconds from an OutOfMemoryError to the failed check that it led to."""
_TOP_FRAMES = 24
_SEVERAL = 5
_MUCH = 0.3
_JUST = 2.0
_IN_PIECES = 0.8
_SMALLEST_REGION = 1 << 20
_WHEN_SHOT = 34
"""Specificity where the VM did not end itself for it: above a signal from outside, below whatever else ended it."""
_STALL = Lazy(r"ZPageAllocator::\w*stall|ShenandoahControlThread::\w*alloc\w*failure|ShenandoahController::\w*alloc")


RIVALS = ("Another reason for which the process was ended while its heap was full.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding: certain where the VM said so, possible where the heap is just full.

    Long: most of it is the text of the finding, which is read in one piece.
    """
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
    if said is None and (share is None or share < _LEAST):
        return
    # A collector keeps a part of the heap free for itself: full is what it could give out.
    given = None if heap is None else jvm_exhaustion.share(heap.used, heap.capacity)
    thrash = _thrash(report, thrown) if said is None and (given or 0) >= _LEAST else None
    if said is None and thrash is None and (share or 0) < _FULL:
        return
    wanted, in_pieces = _wanted(report, said is not None, share)
    size = "how much was in use is not known"
    if heap is not None and heap.used is not None:
        bound = "" if heap.maximum is None else f" of at most {jvm_exhaustion.amount(heap.maximum)}"
        size = f"{jvm_exhaustion.amount(heap.used)}{bound} were in use"
    histogram = (report.jvm.histogram if report.jvm is not None else None) or ()
    top = "; ".join(f"{entry.class_} {jvm_exhaustion.amount(entry.bytes)}" for entry in histogram[:_TOP])
    words = said[1] if said is not None else "the Java heap is full"
    yield Finding(
        rule=RULE.id,
        title=(
            f"Java heap exhausted: {words}{in_pieces}"
            if said is not None
            else f"Java heap full: {thrash[1]}"
            if thrash is not None
            else "Java heap full, with no room for a new object"
        ),
        severity="critical" if said is not None else "high" if thrash is not None else "medium",
        confidence="certain" if said is not None else "likely" if thrash is not None else "possible",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            (
                f"An OutOfMemoryError ({words}) was thrown and the JVM was told to end with it"
                " (-XX:+CrashOnOutOfMemoryError). "
                if said is not None
                else ""
            )
            + (f"{thrash[2]} " if thrash is not None else "")
            + f"Of the heap {size}"
            + (f"; most of it: {top}." if top else ".")
            + wanted
            + (
                " The thread that got the error asked last; it need not be the one that holds it all."
                if said is not None
                else " Whatever ended the process then, such a JVM hardly gets on."
                if thrash is not None
                else ""
            )
        ),
        evidence=proof(
            report,
            (said[0] if said is not None else "", "what the VM said"),
            (thrown or "", "the error that was thrown"),
            ("jvm.error.object_size", "bytes of the object that found no room"),
            ("jvm.error.object_class", "its class"),
            *(((thrash[0], "why it is more than a collection that is due"),) if thrash is not None else ()),
            ("jvm.heap.used", "bytes in use"),
            ("jvm.heap.maximum", "bytes allowed"),
            ("jvm.heap.collector", "the collector"),
            ("jvm.heap.full_collections", "collections of the whole heap"),
            ("jvm.heap.full_seconds", "seconds that they took"),
            ("jvm.histogram[0].class_" if histogram else "", "the class with most bytes"),
            ("jvm.histogram[0].bytes" if histogram else "", "its bytes"),
            (jvm_exhaustion.reporting_frame(report), "the VM reports it"),
        ),
        remedies=(
            *(
                ()
                if histogram or views.is_log(report)
                else ("Run postmortem analyze --histogram on this core to count its objects by class.",)
            ),
            "Look for what keeps the largest classes alive: unbounded caches, sessions, queues that nobody drains.",
            "Run with -XX:+HeapDumpOnOutOfMemoryError to see who refers to them.",
            "If the load is meant to need it, raise -Xmx, within the container's limit.",
        ),
        specificity=None if said is not None else _WHEN_SHOT,
    )


def _thrash(report: Report, thrown: str | None) -> tuple[str, str, str] | None:
    """(path, words for the title, a sentence) of what says that a full heap is more than a collection that is due."""
    heap = jvm_views.heap(report)
    if heap is None or report.jvm is None:
        return None
    stalled = _stalled(report)
    if stalled is not None:
        path, number = stalled
        return path, f"{number} threads wait for memory", f"{number} threads wait until a collection frees some memory."
    count, took, since = heap.full_collections or 0, heap.full_seconds, heap.since_full
    if count >= _SEVERAL and took is not None and (heap.full_share or 0) >= _MUCH:
        part = f"{count} collections of the whole heap took {heap.full_share:.0%} of the time, {took:.1f} s"
        return "jvm.heap.full_share", part, f"{part}, and left it full."
    if count >= _SEVERAL and since is not None and since <= _JUST:
        part = f"the last of {count} collections of the whole heap left it so"
        how = "is running" if since == 0 else f"ended {since:.1f} s before"
        return "jvm.heap.since_full", part, f"The last of {count} collections of the whole heap {how}."
    if thrown is not None:
        return thrown, "an OutOfMemoryError was thrown shortly before", "An OutOfMemoryError was thrown shortly before."
    return None


def _stalled(report: Report) -> tuple[str, int] | None:
    """(path, number) of threads in the VM's functions that wait for a concurrent collector to free memory."""
    found = [
        f"threads[{index}].frames[{number}].function"
        for index, thread in enumerate(report.threads)
        for number, frame in enumerate(thread.frames[:_TOP_FRAMES])
        if frame.function is not None and _STALL.match(frame.function)
    ]
    return (found[0], len(found)) if found else None


def _wanted(report: Report, said: bool, share: float | None) -> tuple[str, str]:
    """(a sentence, words for the title) on the object that found no room, where the heap had room in pieces."""
    error, heap = jvm_views.error(report), jvm_views.heap(report)
    if not said or heap is None:
        return "", ""
    size = error.object_size if error is not None else None
    what = ""
    if error is not None and size is not None:
        what = f" Asked for was a {error.object_class} of {jvm_exhaustion.amount(size)}."
    free = None if heap.used is None or heap.maximum is None else heap.maximum - heap.used
    if size is not None and free is not None and size <= free and _is_humongous(report, size):
        return (
            f"{what} {jvm_exhaustion.amount(free)} were free, but not in one piece: G1 needs adjoining free regions for"
            " an object of half a region or more (humongous).",
            f", fragmented: {jvm_exhaustion.amount(free)} free, no {jvm_exhaustion.amount(size)} in one piece",
        )
    if size is not None and free is not None and size > free and share is not None and share < _NEARLY:
        return what, f": one {error.object_class if error else 'object'} of {jvm_exhaustion.amount(size)}"
    if size is None and share is not None and share < _IN_PIECES:
        return (
            " So much was free that the object asked for was a large one, or the free memory is in pieces.",
            f", with {share:.0%} in use",
        )
    return what, ""


def _is_humongous(report: Report, size: int) -> bool:
    """Half a region of G1 or more, which takes adjoining regions of its own; smaller objects fit wherever any is."""
    heap = jvm_views.heap(report)
    region = jvm_views.number_flag(report, "G1HeapRegionSize") or _SMALLEST_REGION
    return heap is not None and heap.collector == "G1" and size >= region // 2


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
