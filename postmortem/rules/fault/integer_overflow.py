"""Signed overflow found by -ftrapv.

What it finds: abort() in one of libgcc's checked operations, which gcc -ftrapv calls for signed arithmetic.
Why it matters: without -ftrapv the result would have been wrong and nobody had noticed.
Evidence it needs: SIGABRT by the process itself, and __addvsi3, __mulvdi3 or their like right above abort().
False alarms: none known; these functions abort for nothing else. Clang's -ftrapv ends in an illegal-instruction.
Rivals excluded: another abort: the function that checks for overflow is on the stack; a trap instruction, which is an
illegal-instruction.
What to do: check the operands before the operation, or use a wider type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHECKED = Lazy(r"__(add|sub|mul|neg|abs)v([sdt])i[23]")
_OPERATIONS = {
    "add": "an addition",
    "sub": "a subtraction",
    "mul": "a multiplication",
    "neg": "a negation",
    "abs": "an absolute value",
}
_BITS = {"s": 32, "d": 64, "t": 128}


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not aborts.aborted(report):
        return
    found = views.first_named(report, lambda name: _CHECKED.fullmatch(name) is not None)
    frames = views.crashing_frames(report)
    if found is None or not all(culprit.machinery(frame) for frame in frames[: found[0]]):
        return
    parts = _CHECKED.fullmatch(found[1].function or "")
    operation = _OPERATIONS[parts[1]] if parts else "an operation"
    bits = f"{_BITS[parts[2]]}-bit " if parts else ""
    caller = views.caller_of(report, found[0])
    where = f" in {culprit.label(caller[1])}" if caller else ""
    yield Finding(
        rule=RULE.id,
        title=f"Signed overflow of {operation}{where}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"The result of {operation} of {bits}signed integers{where} does not fit. The program is built with"
            f" -ftrapv, which computes by {found[1].function}(); that called abort()."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "sent by the process to itself"),
            (views.frame_path(report, found[0]), "the checked operation that overflowed"),
            (
                views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else "",
                "the function that computes",
            ),
        ),
        remedies=(
            f"Look at the values{where}: check them before the operation (__builtin_add_overflow and its like), or"
            " compute in a wider type.",
            "Rebuild with -fsanitize=signed-integer-overflow: it names the expression and the values.",
        ),
    )


RULE = Rule(id="integer-overflow", group="fault", specificity=85, check=check, documentation=__doc__ or "")
