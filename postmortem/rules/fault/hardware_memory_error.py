"""Memory error of the hardware.

What it finds: SIGBUS with which the kernel reports a machine check on a page of this process.
Why it matters: the program is innocent; the machine has a defective memory module.
Evidence it needs: SIGBUS with BUS_MCEERR_AR or BUS_MCEERR_AO.
False alarms: memory errors injected for tests.
Rivals excluded: a page that its file no longer has (BUS_ADRERR): the kernel reports broken memory with codes of its
own.
What to do: take the machine out of service and test its memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

BUS_MCEERR_AR, BUS_MCEERR_AO = 4, 5


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not views.signal_is(report, views.SIGBUS) or views.code(report) not in (BUS_MCEERR_AR, BUS_MCEERR_AO):
        return
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    yield Finding(
        rule=RULE.id,
        title=f"Hardware memory error{at}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"The processor reported an uncorrectable memory error{at} and the kernel ended the process that"
            " used the page. Code and data of the program are not the cause."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "a machine check"),
            (views.fault_address_path(report), "the address concerned"),
        ),
        remedies=(
            (
                "Look for the machine check in dmesg, journalctl -k or rasdaemon (ras-mc-ctl --errors), and"
                " replace the memory module."
            ),
        ),
    )


RULE = Rule(id="hardware-memory-error", group="fault", specificity=96, check=check, documentation=__doc__ or "")
