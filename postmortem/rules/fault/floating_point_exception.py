"""Floating-point exception.

What it finds: SIGFPE for a floating-point operation.
Why it matters: by default such operations give inf or nan; somebody has unmasked the exception.
Evidence it needs: SIGFPE with one of the floating-point codes.
False alarms: none.
Rivals excluded: SIGFPE that somebody sent, or of an integer division: si_code tells.
What to do: find feenableexcept, or the library that changes the control word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {
    2: "Integer overflow trap",
    3: "division by zero",
    4: "overflow",
    5: "underflow",
    6: "inexact result",
    7: "invalid operation",
    8: "subscript out of range",
    14: "unknown kind",
}
FPE_INTOVF = 2


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    code = views.code(report)
    if not views.signal_is(report, views.SIGFPE) or code not in KINDS:
        return
    kind = KINDS[code]
    where = views.inside(report)
    yield Finding(
        rule=RULE.id,
        title=f"{kind if code == FPE_INTOVF else f'Floating-point exception ({kind})'}{where}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"An arithmetic instruction{where} raised an exception: {kind}. Such exceptions are masked unless"
            " the program or a library unmasks them (feenableexcept, -ffpe-trap, a changed MXCSR)."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "kind of the exception"),
            ("crash.instruction", "the faulting instruction"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            f"Check the operands{where} before the operation.",
            ("If traps are not wanted, find who enabled them: feenableexcept, fesetenv, _MM_SET_EXCEPTION_MASK."),
        ),
    )


RULE = Rule(id="floating-point-exception", group="fault", specificity=75, check=check, documentation=__doc__ or "")
