"""Code cache full.

What it finds: the code cache has next to no room for compiled methods, or the compilers were stopped for that reason.
Why it matters: new hot code stays interpreted, which is many times slower; the process looks hung.
Evidence it needs: free against reserved bytes by segment; the VM's word on whether it compiles.
False alarms: a small non-nmethods segment is filled by design; only segments of compiled methods count.
What to do: raise the limit, or find what makes so much code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.rules import jvm_exhaustion
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = 0.82
"""The share at which compilers have been seen stopped: what is free is in pieces."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding: certain where the compilers were stopped, else likely."""
    cache = report.jvm.code_cache if report.jvm is not None else None
    if cache is None:
        return
    state = (cache.compilation or "").lower()
    stopped = state.startswith("disabled") and "interpreter" not in state  # -Xint compiles nothing anyway
    fullest, share = None, 0.0
    for index, segment in enumerate(cache.segments):
        part = jvm_exhaustion.share(segment.used, segment.capacity)
        if segment.name != "non-nmethods" and part is not None and part > share:
            fullest, share = index, part
    if not stopped and share < _FULL:
        return
    where = "" if fullest is None else f"jvm.code_cache.segments[{fullest}]"
    name = "the code cache" if fullest is None else f"{cache.segments[fullest].name}"
    ended = "The compilers were stopped. " if stopped else ""
    yield Finding(
        rule=RULE.id,
        title=f"Code cache full: {share:.0%} of {name} in use{', compilers stopped' if stopped else ''}",
        severity="high",
        confidence="certain" if stopped else "likely",
        explanation=(
            f"{ended}Compiled methods lie in the code cache, whose size is fixed at start. With {share:.0%} of {name}"
            " in use there is hardly a piece left for another method: the VM throws compiled code away, or stops"
            " compiling, and code that is hot now is interpreted."
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


RULE = Rule(id="jvm-code-cache-full", group="jvm", specificity=66, check=check, documentation=__doc__ or "")
