"""Deliberate abort.

What it finds: the process called abort(), and nothing says why.
Why it matters: somebody wrote that call; the function that did is where to read on.
Evidence it needs: SIGABRT sent by the process to itself.
False alarms: any rule that knows the reason silences this one.
What to do: read the condition before the abort, and the log just before the crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.rules import aborts, views
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not aborts.aborted(report) or views.code(report) is None:
        return
    where = views.inside(report)
    caller = views.blamed(report)
    call = (aborts.call(report, caller[0]) if caller else None) or "abort()"
    text = aborts.message(report)
    said = (
        f" libc said {text!r}." if text else " It left no text that this tool knows of; its log may have it."
    )
    yield Finding(
        rule=RULE.id,
        title=f"{call} called{where}" + (f": {text.splitlines()[0][:120]}" if text else ""),
        severity="high",
        confidence="certain",
        explanation=f"The process ended itself with {call}{where}.{said}",
        evidence=proof(
            report,
            ("crash.signal.code_name", "sent by the process to itself"),
            ("native.abort_message", "what libc said"),
            (views.blamed_path(report), "the caller"),
        ),
        remedies=(
            f"Read the condition before the call of {call}{where}, and what the program logged just before.",
        ),
    )


RULE = Rule(id="deliberate-abort", group="fault", specificity=20, check=check, documentation=__doc__ or "")
