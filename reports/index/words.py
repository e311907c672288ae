"""What index.html and the digest say alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.text import number, plural

if TYPE_CHECKING:
    from postmortem.model.triage import Bucket, Excess, Inputs, Period, Suspect

STATUS = {
    "new": "New in this run.",
    "known": "Seen before this run.",
    "fixed": "Marked as fixed.",
    "regressed": "Came back after it was marked as fixed.",
}


def headline(inputs: Inputs, buckets: int) -> str:
    """ "612 crashes, 41 buckets"."""
    return f"{plural(inputs.analyzed, 'crash', 'crashes')}, {plural(buckets, 'bucket')}"


def counted(inputs: Inputs) -> str:
    """What became of the inputs."""
    before = f" ({number(inputs.known)} in earlier runs)" if inputs.known else ""
    return (
        f"{number(inputs.found)} inputs found: {number(inputs.analyzed)} analyzed{before},"
        f" {number(inputs.skipped)} skipped, {number(inputs.failed)} failed."
    )


def period(found: Period) -> str:
    """ "every 15 minutes, p 1e-07, 14 events"."""
    return f"every {_span(found.seconds)}, p {found.p:.0e}, {found.events} events"


def _span(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            value = seconds / length
            shown = f"{value:.0f}" if abs(value - round(value)) < 0.01 else f"{value:.1f}"
            return unit if shown == "1" else f"{shown} {unit}s"
    return f"{seconds:.0f} seconds"


def excess(found: Excess) -> str:
    """ "38 of 40 are of host n7, 3 of 210 elsewhere, p 1e-20"."""
    kind = found.attribute if found.attribute != "cpu" else "CPU"
    return (
        f"{found.inside} of {found.bucket} are of {kind} {found.value},"
        f" {found.outside} of {found.others} elsewhere, p {found.p:.0e}"
    )


def suspect(found: Suspect) -> str:
    """A host whose hardware may be at fault."""
    return (
        f"{found.host} has {plural(found.signatures, 'bucket')} that no other host has"
        f" ({found.crashes} of {found.of} crashes, p {found.p:.0e}): suspect its hardware"
    )


def listed(counts: dict[str, int], most: int = 6) -> list[tuple[str, int]]:
    """The largest counts, and what the others come to."""
    items = list(counts.items())
    shown = items[:most]
    if len(items) > most:
        shown.append((f"{len(items) - most} more", sum(count for _, count in items[most:])))
    return shown


def stack(bucket: Bucket) -> list[tuple[str, str]]:
    """(function, file:line) of the best report's stack."""
    return [
        (step.name, f"{step.file}:{step.line}" if step.file and step.line else step.file or "") for step in bucket.steps
    ]
