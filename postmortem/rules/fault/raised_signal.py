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
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_ARM = Lazy(r"linux-(?:arm|aarch32)(?:$|[^\w]|vfp|hf|32)")


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    signal = report.crash.signal
    if signal is None or signal.number == views.SIGABRT or not aborts.own_signal(report):
        return
    if aborts.file_size_limit(report):
        return
    where = views.inside(report)
    if (division := _division_on_arm(report)) is not None:
        yield division
        return
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


def _division_on_arm(report: Report) -> Finding | None:
    """libgcc's __aeabi_idiv0 and __aeabi_ldiv0 raise SIGFPE: 32-bit ARM has no fault of the CPU for a zero divisor."""
    platform = (report.host.platform if report.host is not None else None) or ""
    raising = views.first_named(report, lambda name: name in ("raise", "gsignal"))
    if not views.signal_is(report, views.SIGFPE) or not _ARM.search(platform) or raising is None:
        return None
    caller = views.caller_of(report, raising[0])
    by = f", which {views.caller_text(report, raising[0])} had called" if caller is not None else ""
    return Finding(
        rule=RULE.id,
        title="SIGFPE by raise() on 32-bit ARM: native code divided an integer by zero",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=("Code that raises SIGFPE for another reason of its own.",),
        explanation=(
            f"SIGFPE was raised by raise(){by}. On 32-bit ARM a division of integers is a call of the compiler's own"
            " library, and for a divisor of 0 that library raises SIGFPE (__aeabi_idiv0, __aeabi_ldiv0). Java code"
            " does not divide so: the JVM checks the divisor."
        ),
        evidence=proof(
            report,
            ("crash.signal.name", "the signal"),
            (views.frame_path(report, raising[0]), "sends it"),
            (views.frame_path(report, caller[0]) if caller else "", "the caller"),
            ("host.platform", "the machine"),
        ),
        remedies=(
            "Find the caller: the native frames of the whole log, or gdb's backtrace of the core, name the function"
            " that divides.",
            "Check the divisor before the division; decide what the result is to be when it is 0.",
        ),
    )


RULE = Rule(id="raised-signal", group="fault", specificity=21, check=check, documentation=__doc__ or "")
