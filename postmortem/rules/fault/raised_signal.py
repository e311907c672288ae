"""Signal raised by the process itself.

What it finds: a signal other than SIGABRT that the process sent to itself, with raise or kill.
Why it matters: there was no fault, although the signal's name suggests one.
Evidence it needs: si_code SI_USER, SI_QUEUE or SI_TKILL with the process itself as the sender.
False alarms: crash handlers re-raise the signal they caught; when the caught fault is known, it is shown
instead.
Rivals excluded: a fault of the CPU; a signal from another process.
What to do: look at the caller of raise or kill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    signal = report.crash.signal
    if signal is None or signal.number == views.SIGABRT or not aborts.own_signal(report):
        return
    if aborts.file_size_limit(report):
        return
    where = views.inside(report)
    yield Finding(
        rule=RULE.id,
        title=f"{signal.name} raised by the process itself{where}",
        severity="high",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The process sent {signal.name} to itself{where}. No instruction faulted. Crash handlers do this"
            " after they have written their log; then the first fault is in that log."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "sent, not raised by a fault"),
            ("crash.signal.sender_pid", "by this process"),
            ("process.pid", "this process"),
            (views.blamed_path(report), "the caller"),
        ),
        remedies=(f"Look at the call of raise, kill or pthread_kill{where} and the condition before it.",),
    )


RULE = Rule(id="raised-signal", group="fault", specificity=21, check=check, documentation=__doc__ or "")
