"""The fault that a report is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parsers.elf import notes
    from postmortem.model import Operand
    from postmortem.unwind.frame import SignalFrame


class Fault(NamedTuple):
    """The fault to report.

    own: the core's siginfo. frame: the signal frame behind which the original fault was found, if any;
    info: the siginfo to report; registers: at the fault, by name; trap, error: the CPU's trap number and
    error code, from a signal frame. taker: the thread that took the core's signal.
    """

    tid: int
    taker: int
    own: notes.SignalInfo | None
    info: notes.SignalInfo | None
    frame: SignalFrame | None
    registers: dict[str, int]
    trap: int | None
    error: int | None


def unreachable(operands: Iterable[Operand]) -> Operand | None:
    """The operand of the faulting instruction whose address can't be reached."""
    return next((item for item in operands if not item.mapped or not item.canonical), None)
