"""Generated code used against its protection (macOS on Apple silicon).

What it finds: SIGBUS for a write into the code cache by a thread that had not switched it to writable (W^X), or for
executing it where the thread had.
Why it matters: the kernel words it as misalignment (BUS_ADRALN), though the address is aligned; neither the code nor
an object is damaged.
Evidence it needs: macOS on AArch64, SIGBUS, an aligned address inside the code cache.
False alarms: none known.
What to do: update the JDK; look for an agent or native library that calls back into the JVM in this place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.paths import proof
from postmortem.model.queries.systems import system
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD = 4


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    address = views.fault_address(report)
    if jvm_views.fault_name(report) != "SIGBUS" or address is None or address % _WORD:
        return
    platform = (report.host.platform if report.host is not None else None) or ""
    if system(report).name != "macos" or "aarch64" not in platform or report.jvm is None:
        return
    cache = report.jvm.code_cache
    segments = cache.segments if cache is not None else ()
    index = next((number for number, item in enumerate(segments) if item.start <= address < item.end), None)
    if index is None:
        return
    frame = jvm_frames.top(report)
    fetched = address == report.crash.pc
    where = f" in {culprit.label(frame)}" if frame is not None else ""
    yield Finding(
        rule=RULE.id,
        title=(
            f"Generated code of the JVM executed while it was switched to writing (W^X){where}"
            if fetched
            else f"Write to the JVM's generated code while it was protected (W^X){where}"
        ),
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"{address:#x} lies in the code cache ({segments[index].name}) and is aligned, so the signal's word for it"
            " (misaligned address) is not what happened: on Apple silicon a thread may either write generated code or"
            f" execute it, and this one was not switched to {'executing (the pc)' if fetched else 'writing'}."
        ),
        rivals=("Memory of the code cache that was not committed.",),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the kernel's word"),
            (views.fault_address_path(report), "the address that was touched"),
            (f"jvm.code_cache.segments[{index}].name", "the part of the code cache"),
            ("host.platform", "the system"),
            (views.frame_path(report, 0), "where it was"),
        ),
        remedies=(
            "Update to the newest release of this JDK version: such places were mended one by one.",
            "Run without agents and profilers: they call into the JVM at moments that it does not expect.",
        ),
    )


RULE = Rule(id="jvm-write-protected-code", group="jvm", specificity=86, check=check, documentation=__doc__ or "")
