"""Snapshot of a live process.

What it finds: a core without any fatal signal, as gcore, a debugger or a monitor writes it.
Why it matters: nothing crashed; the stacks show what the process was doing.
Evidence it needs: no signal, signal 0, SIGSTOP (which ends no process), or SIGTRAP without a fault.
False alarms: cores of tools that do not write siginfo.
Rivals excluded: a crash: the signal that stopped the process is none that ends it, and no thread has one; a core of a
tool that writes no siginfo.
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
    if signal is not None and signal.number != SIGSTOP and signal.code not in (None, views.SI_USER, 0):
        return
    yield Finding(
        rule=RULE.id,
        title="Snapshot of a live process: no fatal signal",
        severity="info",
        confidence="certain" if signal is not None else "likely",
        claim="observation",
        explanation=(
            "The core names no signal that ends a process, so it was taken from a live one (gcore, a"
            " debugger, a monitor). Nothing crashed; the threads show what the process was doing."
        ),
        evidence=proof(
            report,
            ("crash.signal.number", "the signal in the core"),
            ("threads", "threads in the core"),
        ),
        remedies=("Look at the threads of this report: which of them wait, and for what.",),
    )


RULE = Rule(id="snapshot", group="fault", specificity=20, check=check, documentation=__doc__ or "")
