"""System call forbidden by seccomp.

What it finds: SIGSYS raised by a seccomp filter, the system call and its caller.
Why it matters: a sandbox and a program disagree, often after a libc upgrade uses a newer system call.
Evidence it needs: SIGSYS with SYS_SECCOMP.
False alarms: SIGSYS sent with kill is not counted.
Rivals excluded: SIGSYS that somebody sent: si_code is SYS_SECCOMP.
What to do: allow the call in the filter if it is harmless, or avoid it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

SYS_SECCOMP = 1


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    signal = report.crash.signal
    if signal is None or signal.number != views.SIGSYS or signal.code != SYS_SECCOMP:
        return
    number = f"number {signal.syscall}" if signal.syscall is not None else "of unknown number"
    name = signal.syscall_name or number
    where = views.inside(report)
    yield Finding(
        rule=RULE.id,
        title=f"System call {name} forbidden by seccomp{where}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=f"A seccomp filter of this process does not permit the system call {name}"
        + (f" ({number})" if signal.syscall_name else "")
        + f", which was made{where}. Filters come from a container's profile, systemd's SystemCallFilter, or"
        " the program's own sandbox; newer libc versions use newer calls (clone3, rseq, faccessat2) that"
        " old filters do not know.",
        evidence=proof(
            report,
            ("crash.signal.code_name", "a seccomp filter raised it"),
            ("crash.signal.syscall_name", "the system call"),
            ("crash.signal.syscall", "its number"),
            (views.blamed_path(report), "the caller"),
        ),
        remedies=(
            (
                f"If the call is harmless, allow {name} in the filter: the container's seccomp profile,"
                " SystemCallFilter= of the unit, or the program's own rules."
            ),
            "To see all that a run needs: strace -f -c, or the filter with SCMP_ACT_LOG and the audit log.",
        ),
    )


RULE = Rule(id="seccomp-violation", group="fault", specificity=90, check=check, documentation=__doc__ or "")
