"""Variables of the crashing function, as evidence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries.crash import faulting_operand

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


def variable_path(report: Report, expression: str | None) -> str:
    """Path of the argument or local that an expression begins with, in the frames of the faulting instruction.

    "" where there is none: a path to nowhere, which is no evidence.
    """
    match = None if expression is None else _ROOT.match(expression)
    if match is None or not report.threads:
        return ""
    for position, frame in enumerate(report.threads[0].frames):
        if frame.pc != report.crash.pc:
            break
        for member, values in (("locals", frame.locals), ("arguments", frame.arguments)):
            for index, value in enumerate(values):
                if value.name == match[1] and value.unavailable is None:
                    return f"threads[0].frames[{position}].{member}[{index}].text"
    return ""
