"""Snapshot of a live process.

What it finds: a core without any fatal signal, as gcore, a debugger or a monitor writes it.
Why it matters: nothing crashed; the stacks show what the process was doing.
Evidence it needs: a recorded signal that ends no process: 0, SIGSTOP, or SIGTRAP without a fault. A core without any
signal is only possibly a snapshot: the rival is a converter that left the signal out.
False alarms: none known for the recorded ones.
Rivals excluded: a crash: the signal that is recorded is none that ends a process. Without one a core of a tool that
writes no siginfo stays open: only possible.
What to do: read the threads: what do they wait for?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGSTOP = 19


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    signal = report.crash.signal
    if not report.threads or not report.core.format.startswith("elf"):
        return
    if signal is not None and signal.number not in (0, SIGSTOP, views.SIGTRAP):
        return
    if signal is not None and signal.number != SIGSTOP and signal.code not in (views.SI_USER, 0):
        return
    if signal is None:
        yield _unsigned(report)
        return
    yield Finding(
        rule=RULE.id,
        title="Snapshot of a live process: no fatal signal",
        severity="info",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The core records {signal.name if signal.number else 'signal 0'}, which ends no process, so it was taken"
            " from a live one (gcore, a debugger, a monitor). Nothing crashed; the threads show what the process was"
            " doing."
        ),
        evidence=proof(
            report,
            ("crash.signal.number", "the signal in the core"),
            ("threads", "threads in the core"),
        ),
        remedies=("Look at the threads of this report: which of them wait, and for what.",),
    )


def _unsigned(report: Report) -> Finding:
    return Finding(
        rule=RULE.id,
        title="No signal is recorded in the core: a snapshot, or a core whose signal was lost",
        severity="info",
        confidence="possible",
        claim="observation",
        explanation=(
            "Neither siginfo nor the status of any thread has a signal. The kernel always writes one, so another"
            " program wrote this core: gcore from a live process, or a converter that left it out. Whether the process"
            " crashed is not known."
        ),
        evidence=proof(report, ("threads", "threads in the core, none with a signal")),
        remedies=("Ask how the core was made; look at the threads of this report: which of them wait, and for what.",),
    )


RULE = Rule(id="snapshot", group="fault", specificity=20, check=check, documentation=__doc__ or "")
