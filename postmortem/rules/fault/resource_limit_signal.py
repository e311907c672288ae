"""Resource limit reached.

What it finds: SIGXCPU or SIGXFSZ from the kernel: the limit on processor time or file size was reached.
Why it matters: a limit of the environment ended the process, not a fault.
Evidence it needs: the signal, raised by the kernel.
False alarms: the signals sent with kill or raise are not counted.
Rivals excluded: the same signal sent by a process; another signal.
What to do: raise the limit, or find what used it up.
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
    if signal is None or signal.number not in (views.SIGXCPU, views.SIGXFSZ) or signal.code is None:
        return
    if not views.raised_by_cpu(report) and not aborts.file_size_limit(report):
        return
    cpu = signal.number == views.SIGXCPU
    limit = "processor time (RLIMIT_CPU, ulimit -t)" if cpu else "file size (RLIMIT_FSIZE, ulimit -f)"
    where = views.inside(report)
    yield Finding(
        rule=RULE.id,
        title=f"Limit on {'processor time' if cpu else 'file size'} reached{where}",
        severity="high",
        confidence="certain",
        claim="cause",
        explanation=(f"The kernel ended the process with {signal.name} because it reached its limit on {limit}.")
        + (
            " The stack shows where it was spending its time."
            if cpu
            else " The stack shows the write that went beyond it."
        ),
        evidence=proof(
            report,
            ("crash.signal.name", "the limit's signal"),
            ("crash.signal.code_name", "raised by the kernel"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            (
                f"Raise the limit on {limit} where the process is started: LimitCPU= and LimitFSIZE= of a"
                " systemd unit, limits.conf, ulimit."
            ),
            (
                "If the work should not need that much, look for an endless loop at the function named."
                if cpu
                else "If the file should not grow that large, look at what is written, and rotate logs."
            ),
        ),
    )


RULE = Rule(id="resource-limit-signal", group="fault", specificity=88, check=check, documentation=__doc__ or "")
