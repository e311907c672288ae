"""Breakpoint without a debugger.

What it finds: int3 or brk reached, or a trap of the debug registers.
Why it matters: the program stopped itself on purpose: a debug break, or a check that ends in one.
Evidence it needs: SIGTRAP raised by the processor.
False alarms: a debugger that detached and left its breakpoints behind.
What to do: look at the check before the instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.rules import views
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not views.signal_is(report, views.SIGTRAP) or not views.raised_by_cpu(report):
        return
    yield Finding(
        rule=RULE.id,
        title=f"Breakpoint instruction reached{views.inside(report)}",
        severity="high",
        confidence="certain",
        explanation=(
            "The processor raised a debug trap and no debugger was there. Programs and libraries (V8, GLib,"
            " Chromium, raise(SIGTRAP), __debugbreak) place such an instruction behind a check that must not"
            " fail. pc is already past it."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "raised by the processor"),
            ("crash.pc", "just behind the breakpoint"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            "Look at the source line of the crashing frame for the check that leads to the trap.",
            (
                "If nothing in the source traps, a debugger or tracer left a breakpoint in the code when it"
                " detached."
            ),
        ),
    )


RULE = Rule(id="breakpoint-trap", group="fault", specificity=70, check=check, documentation=__doc__ or "")
