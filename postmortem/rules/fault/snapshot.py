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
from postmortem.model.queries import javathreads, locks
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHICH_WAIT = "Look at the threads of this report: which of them wait, and for what."


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    signal = report.crash.signal
    if not views.is_snapshot(report):
        return
    if signal is None:
        yield _unsigned(report)
        return
    doing = _doing(report)
    yield Finding(
        rule=RULE.id,
        title="Snapshot of a live process: no fatal signal",
        severity="info",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The core records {signal.name if signal.number else 'signal 0'}, which ends no process, so it was taken"
            " from a live one (gcore, a debugger, a monitor). Nothing crashed; the threads show what the process was"
            f" doing.{doing}"
        ),
        evidence=proof(
            report,
            ("crash.signal.number", "the signal in the core"),
            ("threads", "threads in the core"),
            *(running_evidence(report) if doing else ()),
        ),
        remedies=_remedies(report, bool(doing)),
    )


def running_evidence(report: Report) -> tuple[tuple[str, str], ...]:
    """(path, words) of where threads ran."""
    return javathreads.evidence(report) if views.java_process(report) else locks.running_evidence(report)


def _doing(report: Report) -> str:
    """What the threads wait for, and which of them run; what a JVM's wait for is told by rules of their own."""
    told = javathreads.doing(report) if views.java_process(report) else locks.waiting(report)
    return f" {told}." if told else ""


def _remedies(report: Report, doing: bool) -> tuple[str, ...]:
    running = locks.running(report) if doing else ()
    return (
        *((locks.SECOND_LOOK,) if running else ()),
        *((_WHICH_WAIT,) if len(running) < len(report.threads) else ()),
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
            f" crashed is not known.{_doing(report)}"
        ),
        evidence=proof(report, ("threads", "threads in the core, none with a signal")),
        remedies=("Ask how the core was made; look at the threads of this report: which of them wait, and for what.",),
    )


RULE = Rule(id="snapshot", group="fault", specificity=20, check=check, documentation=__doc__ or "")
