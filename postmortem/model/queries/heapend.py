"""A write that went on to the very end of malloc's memory, and what libc said of that memory afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views

if TYPE_CHECKING:
    from postmortem.model import Report

_MALLOC = ("malloc arena", "heap")
"""Kinds of mappings in which malloc lays block beside block."""
_WIDEST = 64
"""Bytes of the widest store: one that begins before the end may be said to fail behind it."""
_CHECKS = ("malloc", "free", "realloc", "calloc", "corrupted", "double free", "munmap_chunk", "unlink")
REMEDY = "Rebuild with -fsanitize=address and run the same input: it names the first write behind the block."


class Overrun(NamedTuple):
    """below: the index of the mapping that ends there."""

    below: int
    sentence: str
    rival: str = "A pointer that by chance led to the first bytes behind malloc's memory."


def overrun(report: Report) -> Overrun | None:
    """The fault is a write to the first bytes behind malloc's memory, where no pointer leads but one that is counted up
    from within."""
    address = views.fault_address(report)
    if address is None or not views.signal_is(report, views.SIGSEGV) or views.access_word(report) != "write":
        return None
    for index, mapping in enumerate(report.mappings):
        if mapping.kind in _MALLOC and 0 <= address - mapping.end < _WIDEST and "w" in mapping.permissions:
            there = views.mapping_at(report, address)
            if there is not None and set(there[1].permissions) & set("rwx"):
                return None
            return Overrun(
                index,
                f"{address:#x} is where the memory of {views.mapping_text(mapping)} ends: a write that went on from a"
                " block in there, over all that lies behind it, stops at this very place.",
            )
    return None


def said_in_handler(report: Report) -> str:
    """What libc found wrong with malloc's data when a signal's handler used it; "" where it said nothing."""
    crash = report.crash
    text = (report.native.abort_message or "").strip()
    if not crash.unwrapped or crash.handler_signal is None or crash.handler_signal.number != views.SIGABRT:
        return ""
    return text if text.startswith(_CHECKS) else ""
