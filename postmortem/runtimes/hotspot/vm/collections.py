"""What hsperfdata counts of collections of the whole heap.

sun.gc.collector.1 is the collector of the old generation or of the whole heap where that stops the program (Serial,
Parallel, G1; CMS counts its phases there); lastEntryTime and lastExitTime are in ticks of sun.os.hrt
(share/gc/shared/collectorCounters.cpp). The last entry is later than the last exit while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postmortem.model.jvm import Heap

_FULL = ("full", "MarkSweep", "MSC", "PSParallelCompact", "stop-the-world")
"""Parts of sun.gc.collector.1.name by which a collector that stops the program is told."""


def with_collections(heap: Heap | None, counters: Mapping[str, str]) -> Heap | None:
    """The heap, with the counts of its collections where there are any."""
    if heap is None:
        return None
    name = counters.get("sun.gc.collector.1.name", "")
    if not any(part in name for part in _FULL):
        return msgspec.structs.replace(heap, last_cause=_cause(counters))
    frequency = _number(counters, "sun.os.hrt.frequency")
    now = _number(counters, "sun.os.hrt.ticks")
    took, entry, left = (
        _number(counters, f"sun.gc.collector.1.{what}") for what in ("time", "lastEntryTime", "lastExitTime")
    )
    full_seconds = since = share = None
    if frequency:
        full_seconds = None if took is None else took / frequency
        if entry is not None and left:
            # JDK 25 and newer have no clock among the counters.
            since = 0.0 if entry > left else None if now is None else max(now - left, 0) / frequency
            share = None if took is None else took / max(now or 0, entry, left)
    return msgspec.structs.replace(
        heap,
        full_collections=_number(counters, "sun.gc.collector.1.invocations"),
        full_seconds=full_seconds,
        full_share=share,
        since_full=since,
        last_cause=_cause(counters),
    )


def _cause(counters: Mapping[str, str]) -> str | None:
    """What is being collected for now, else what was."""
    cause = counters.get("sun.gc.cause")
    return cause if cause not in (None, "", "No GC") else counters.get("sun.gc.lastCause") or None


def _number(counters: Mapping[str, str], name: str) -> int | None:
    text = counters.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
