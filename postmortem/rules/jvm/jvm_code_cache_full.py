"""Code cache full.

What it finds: the code cache has next to no room for compiled methods, or the compilers were stopped for that reason.
Why it matters: new hot code stays interpreted, which is many times slower; the process looks hung.
Evidence it needs: free against reserved bytes by segment; the VM's word on whether it compiles.
False alarms: a small non-nmethods segment is filled by design; only segments of compiled methods count.
Rivals excluded: a segment that is full by design; compilers that were switched off by the command line.
What to do: raise the limit, or find what makes so much code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPARED = 1 << 20
"""Free bytes in pieces, and kept for stubs (CodeCacheMinimumFreeSpace), that are of no use for another method."""
_FULL = 0.97
_LEAST = 0.8
NOT_ENOUGH = "contiguous free space"


def check(report: Report) -> Iterator[Finding]:
    """At most one finding: certain where the compilers were stopped for it, else likely."""
    cache = report.jvm.code_cache if report.jvm is not None else None
    if cache is None:
        return
    state = (cache.compilation or "").lower()
    stopped = state.startswith("disabled") and "interpreter" not in state  # -Xint compiles nothing anyway
    # A method that does not fit into the segment of its kind is put into the other one.
    segments = [item for item in cache.segments if item.name != "non-nmethods"]
    capacity = sum(item.capacity for item in segments)
    used = [item.used for item in segments if item.used is not None]
    share = jvm_exhaustion.share(sum(used), capacity) if segments and len(used) == len(segments) else None
    full = share is not None and (share >= _FULL or (share >= _LEAST and capacity - sum(used) <= _SPARED))
    if not full and not (stopped and share is None and NOT_ENOUGH in state):
        return
    index = max(range(len(cache.segments)), key=lambda n: cache.segments[n].used or 0, default=None)
    where = "" if index is None else f"jvm.code_cache.segments[{index}]"
    amount = "" if share is None else f": {share:.0%} in use"
    ended = "The compilers were stopped. " if stopped else ""
    yield Finding(
        rule=RULE.id,
        title=f"Code cache full{amount}{', compilers stopped' if stopped else ''}",
        severity="high",
        confidence="certain" if stopped else "likely",
        claim="observation",
        explanation=(
            f"{ended}Compiled methods lie in the code cache, whose size is fixed at start{amount}. There is hardly a"
            " piece left for another method: the VM throws compiled code away, or stops compiling, and code that is hot"
            " now is interpreted."
        ),
        evidence=proof(
            report,
            ("jvm.code_cache.compilation", "whether the VM compiles"),
            (f"{where}.used", "bytes in use"),
            (f"{where}.capacity", "bytes reserved"),
            (f"{where}.free", "bytes free"),
            ("jvm.code_cache.nmethods", "compiled methods"),
        ),
        remedies=(
            "Raise -XX:ReservedCodeCacheSize (240 MB is the default with tiered compilation).",
            "Look for code made without end: generated classes, scripts, one lambda form per call site.",
            "Watch it with jcmd PID Compiler.codecache.",
        ),
    )


RULE = Rule(id="jvm-code-cache-full", group="jvm", specificity=36, check=check, documentation=__doc__ or "")
