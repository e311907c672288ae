"""Direct buffer memory exhausted.

What it finds: direct ByteBuffers have used up MaxDirectMemorySize, or an OutOfMemoryError said so.
Why it matters: this memory is outside the heap, and freed only when the Java objects in front of it are collected.
Evidence it needs: java.nio.Bits' own counters, or the error's words.
False alarms: a pool (Netty's) takes what it can get and keeps it; full use is then its normal state. So without the
error, or a collection that java.nio.Bits asks for when it finds no room, full use is possible only.
Rivals excluded: a pool that keeps all it may have: an OutOfMemoryError for direct memory was thrown; an error for the
Java heap.
What to do: find who allocates direct buffers and whether they are given back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = 0.95


RIVALS = ("A pool that keeps all it may have, while something else failed.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    direct = report.jvm.direct_memory if report.jvm is not None else None
    said = jvm_exhaustion.ran_out_of(report, jvm_exhaustion.DIRECT)
    thrown = jvm_exhaustion.thrown(report, jvm_exhaustion.DIRECT)
    share = None if direct is None else jvm_exhaustion.share(direct.used, direct.maximum)
    if said is None and thrown is None and (share is None or share < _FULL):
        return
    used = maximum = buffers = None
    if direct is not None:
        used, maximum, buffers = direct.used, direct.maximum, direct.buffers
    failed = said is not None or thrown is not None or _collected(report) is not None
    number = f" in {buffers:,} buffers" if buffers is not None else ""
    yield Finding(
        rule=RULE.id,
        title=f"Direct memory {'exhausted' if failed else 'in use'}: {jvm_exhaustion.amount(used)} of"
        f" {jvm_exhaustion.amount(maximum)} reserved",
        severity="high" if failed else "low",
        confidence="certain" if said is not None or thrown is not None else "likely" if failed else "possible",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"{jvm_exhaustion.amount(used)}{number} are reserved for direct ByteBuffers, of at most"
            f" {jvm_exhaustion.amount(maximum)} (-XX:MaxDirectMemorySize; without it, as much as -Xmx). "
            + (
                "The next allocateDirect throws OutOfMemoryError."
                if failed
                else "Nothing says that an allocation failed: a pool takes all it may have and keeps it."
            )
            + " The memory of a buffer is given back only when its Java object is"
            " found dead by a collection, which a quiet heap puts off."
        ),
        evidence=proof(
            report,
            (said[0] if said is not None else "", "what the VM said"),
            (thrown or "", "the error that was thrown"),
            (_collected(report) or "", "what java.nio.Bits does when it finds no room"),
            ("jvm.direct_memory.used", "bytes reserved"),
            ("jvm.direct_memory.maximum", "bytes allowed"),
            ("jvm.direct_memory.buffers", "buffers"),
        ),
        remedies=(
            "Find who allocates direct buffers: NIO channels given heap buffers take a temporary one per thread"
            " (-Djdk.nio.maxCachedBufferSize bounds these), Netty has its own accounting.",
            "Close or reuse buffers; with -XX:+DisableExplicitGC the JDK's own help against this does nothing.",
            "If the use is right, raise -XX:MaxDirectMemorySize, within the container's limit.",
        ),
    )


def _collected(report: Report) -> str | None:
    """The path of what says that java.nio.Bits found no room: it asks for a collection, then sleeps and tries again."""
    for index, thread in enumerate(report.threads):
        for number, frame in enumerate(thread.frames):
            if frame.function == "java.nio.Bits.reserveMemory":
                return f"threads[{index}].frames[{number}].function"
    heap = report.jvm.heap if report.jvm is not None else None
    return "jvm.heap.last_cause" if heap is not None and heap.last_cause == "System.gc()" else None


RULE = Rule(id="jvm-direct-memory", group="jvm", specificity=36, check=check, documentation=__doc__ or "")
