"""Call of a pure virtual function.

What it finds: __cxa_pure_virtual on the crashing stack.
Why it matters: the object was of its abstract base class at that moment: being built, being destroyed, or
gone.
Evidence it needs: the function's name on the crashing stack.
False alarms: none known.
Rivals excluded: another abort: the runtime's function for it is on the stack.
What to do: look for virtual calls from constructors and destructors, and for use after destruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    frame = views.last_named(report, lambda name: name in ("__cxa_pure_virtual", "__cxa_deleted_virtual"))
    if frame is None:
        return
    caller = views.caller_of(report, frame[0])
    by = f" by {culprit.label(caller[1])}" if caller else ""
    yield Finding(
        rule=RULE.id,
        title=f"Pure virtual function called{by}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"The vtable slot called{by} still held the placeholder of an abstract class. An object has its"
            " base class's vtable while the base's constructor or destructor runs, and often after its"
            " destruction."
        ),
        evidence=proof(
            report,
            (views.frame_path(report, frame[0]), "the placeholder was called"),
            (
                (views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else ""),
                "by this function",
            ),
        ),
        remedies=(
            "Do not call virtual functions from a constructor or destructor, nor functions that do.",
            (
                "If no constructor or destructor is on the stack, another thread may still use the object"
                " while it is destroyed: rebuild with -fsanitize=address or -fsanitize=thread."
            ),
        ),
    )


RULE = Rule(id="pure-virtual-call", group="fault", specificity=92, check=check, documentation=__doc__ or "")
