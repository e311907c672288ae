"""A call through an entry that a table of function pointers does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.model import Report
    from postmortem.model.process import TableCall

_POINTER = 8
_VTABLES = ("vtable for ", "construction vtable for ", "VTT for ")


def beyond(report: Report) -> TableCall | None:
    """The call, where its slot lies outside of the table that a symbol gives the bounds of; not of a vtable."""
    call = report.crash.table_call
    if call is None or 0 <= call.offset < call.size or call.table.startswith(_VTABLES):
        return None
    return None if call.offset % _POINTER or call.size % _POINTER else call


def remark(report: Report) -> str:
    """For a title: ": entry 77 of table, which has 8"."""
    call = beyond(report)
    return (
        "" if call is None else f": entry {call.offset // _POINTER} of {call.table}, which has {call.size // _POINTER}"
    )


def sentence(report: Report) -> str:
    """For an explanation."""
    call = beyond(report)
    if call is None:
        return ""
    return (
        f" The pointer was read from {call.slot:#x}, where entry {call.offset // _POINTER} of {call.table} would be, a"
        f" table of {call.size} bytes ({call.size // _POINTER} pointers): the index is out of its bounds."
    )


def remedies(report: Report) -> tuple[str, ...]:
    """What to do; () where the call is none of these."""
    call = beyond(report)
    if call is None:
        return ()
    return (
        f"Check the index before {call.table} is used: it is {call.offset // _POINTER}, and the last entry is"
        f" {call.size // _POINTER - 1}.",
        "Rebuild with -fsanitize=undefined,address -g and run the same input: -fsanitize=bounds names the index.",
    )
