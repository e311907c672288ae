"""longjmp() into a function that has returned.

What it finds: the function runs in a frame without a return address, and a jmp_buf has this very frame's stack pointer
and a place in this function.
Why it matters: the fault is of the variables in that frame, which later calls have written over: their values say
nothing. The mistake is the longjmp().
Evidence it needs: the frame's place by CFI, the word at its return address, and the jmp_buf in memory, as setjmp() of
glibc or musl leaves it.
False alarms: a write over the frame after setjmp() leaves the same; so it is likely only.
What to do: call setjmp() in a function that does not return before the last longjmp().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    broken = report.crash.broken_frame
    if broken is None or broken.jump_buffer is None or not views.raised_by_cpu(report):
        return
    name = f"{plain(broken.function)}()"
    yield Finding(
        rule=RULE.id,
        title=f"longjmp() into {name}, which had returned: fault{views.at_fault(report)}",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=(f"Something wrote over the frame of {name} while it was in use: a local array beyond its end.",),
        explanation=(
            f"The word at {broken.slot:#x}, where the return address of {name} belongs, is {broken.value:#x}: no code"
            f" is there. The jmp_buf at {broken.jump_buffer:#x} was filled by setjmp() in this frame, and goes on at"
            f" {broken.set_at:#x} in {name}. So it had most likely returned after setjmp(), others used its stack, and"
            " longjmp() went back into what they left. Its variables, and the pointer that faulted, hold leftovers."
        ),
        evidence=proof(
            report,
            ("crash.broken_frame.value", "the word in place of the return address"),
            ("crash.broken_frame.jump_buffer", "a jmp_buf with this frame's stack pointer"),
            ("crash.broken_frame.set_at", "where it goes on"),
            ("crash.instruction", "the faulting instruction"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            f"Call setjmp() where the work is done that may jump back, not in {name}: a jmp_buf is worth nothing once"
            " the function that called setjmp() has returned.",
            "Build with -D_FORTIFY_SOURCE=2 -O1: glibc's checked longjmp() stops most such jumps.",
        ),
    )


RULE = Rule(id="ended-frame", group="fault", specificity=76, check=check, documentation=__doc__ or "")
