"""Variables of the crashing function, as evidence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries.crash import blamed, faulting_operand
from postmortem.model.queries.names import plain

if TYPE_CHECKING:
    from postmortem.model import Report

_ROOT = re.compile(r"\*?([A-Za-z_]\w*)")


def operand_evidence(report: Report) -> tuple[tuple[str, str], ...]:
    """(path, words) of the pointer that the faulting instruction used, and of the variable that it comes from."""
    found = faulting_operand(report)
    if found is None or not found[1].pointer:
        return ()
    return (
        (f"crash.operands[{found[0]}].pointer", "the pointer that was used"),
        (variable_path(report, found[1].pointer), "the variable"),
    )


def variable_owner(report: Report, expression: str | None) -> str:
    """ "std::vector::size()": the function whose variable an expression begins with, where a caller of it is blamed."""
    found = _variable(report, expression)
    culprit = blamed(report)
    if found is None or culprit is None or culprit[0] <= found[0]:
        return ""
    function = report.threads[0].frames[found[0]].function
    return f"{plain(function)}()" if function else ""


def variable_path(report: Report, expression: str | None) -> str:
    """Path of the argument or local that an expression begins with, in the frames of the faulting instruction.

    "" where there is none: a path to nowhere, which is no evidence.
    """
    found = _variable(report, expression)
    return "" if found is None else f"threads[0].frames[{found[0]}].{found[1]}[{found[2]}].text"


def _variable(report: Report, expression: str | None) -> tuple[int, str, int] | None:
    """(frame, locals or arguments, index) of it."""
    match = None if expression is None else _ROOT.match(expression)
    if match is None or not report.threads:
        return None
    for position, frame in enumerate(report.threads[0].frames):
        if frame.pc != report.crash.pc:
            break
        for member, values in (("locals", frame.locals), ("arguments", frame.arguments)):
            for index, value in enumerate(values):
                if value.name == match[1] and value.unavailable is None:
                    return position, member, index
    return None
