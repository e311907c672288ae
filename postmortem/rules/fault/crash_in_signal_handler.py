"""Crash in a signal handler.

What it finds: a second fault while the handler of the first one, or of another signal, was running.
Why it matters: the core's own signal is the second one; the first is the cause.
Evidence it needs: a fault found behind the handler (unwrapped) and a second fault as the core's signal; or
a signal frame below the crashing frames.
False alarms: a handler that aborts on purpose after logging is not a crash; then the first fault is shown
alone.
Rivals excluded: a handler that ended the process on purpose: the second signal was raised by the CPU; a fault on a
thread without a handler's frame.
What to do: fix the first fault, and keep handlers to async-signal-safe calls.
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

INSIDE = 59
"""Of a fault inside a handler: below the causes that registers and memory speak for, above the plain fault."""
FAULTS = (views.SIGSEGV, views.SIGBUS, views.SIGFPE, views.SIGILL)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    found = views.crashing_thread(report)
    if found is None or views.java_process(report):
        return
    first, second = report.crash.signal, report.crash.handler_signal
    position, thread = found
    if report.crash.unwrapped and second is not None and second.number in FAULTS and (second.code or 0) > 0:
        blamed = culprit.first(thread.handler_frames or ())
        handler = f" {culprit.label(blamed[1])}" if blamed else ""
        where = views.inside(report)
        name = first.name if first is not None else "a signal"
        at = views.fault_address(report)
        touched = f" at {at:#x}" if at is not None else ""
        yield Finding(
            rule=RULE.id,
            title=f"{name}{where}, then {second.name} in its signal handler{handler}",
            severity="critical",
            confidence="certain",
            claim="observation",
            explanation=(
                f"The first fault was {name}{touched}{where}. Its handler{handler} then faulted itself with"
                f" {second.name}, which is the signal the core shows. The first fault is the one to fix"
                " first; the handler hides it."
            ),
            evidence=proof(
                report,
                ("crash.signal.name", "the first fault, from the signal frame on the stack"),
                (views.fault_address_path(report), "the address it touched"),
                ("crash.handler_signal.name", "the second fault, the core's own signal"),
                ("crash.handler_signal.fault_address", "the address that the handler touched"),
                (views.blamed_path(report), "where the first fault was"),
                (
                    f"threads[{position}].handler_frames[{blamed[0]}].function" if blamed else "",
                    "in the handler",
                ),
            ),
            remedies=(
                f"Fix the first fault{where}: the other findings of this report are about it.",
                (
                    f"Make the handler{handler} safe: no locks, no allocation, no printf, no use of data that"
                    " may be damaged."
                ),
            ),
        )
        return
    below = next((i for i, frame in enumerate(thread.frames) if frame.kind == "signal" and i), None)
    if (
        below is None
        or report.crash.unwrapped
        or not views.signal_is(report, *FAULTS)
        or not views.raised_by_cpu(report)
    ):
        return
    place = culprit.first(thread.frames[:below])
    blamed = below - 1, thread.frames[below - 1]
    interrupted = culprit.first(thread.frames[below + 1 :])
    known = blamed[1].trust != "scan" and (blamed[1].function is not None or blamed[1].module is not None)
    handler = f" {culprit.label(blamed[1])}" if known else ""
    where = f" in {culprit.label(place[1])}, called by" if place and place[0] != blamed[0] else " in"
    during = f", which interrupted {culprit.label(interrupted[1])}" if interrupted else ""
    name = first.name if first is not None else "A fault"
    yield Finding(
        rule=RULE.id,
        title=f"{name}{where} {'the' if handler else 'a'} signal handler{handler}{during}",
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(
            f"{name} was raised while the signal handler{handler} was running{during}. A handler may run"
            " between any two instructions, so data it uses can be half changed."
        ),
        evidence=proof(
            report,
            ("crash.signal.name", "the fault"),
            (f"threads[{position}].frames[{below}].kind", "the signal frame below it"),
            (f"threads[{position}].frames[{blamed[0]}].function" if handler else "", "the handler"),
        ),
        remedies=(
            (
                f"Keep the handler{handler} to async-signal-safe calls (man 7 signal-safety); set a flag or"
                " write to a pipe and do the work outside."
            ),
        ),
        specificity=INSIDE,
    )


RULE = Rule(id="crash-in-signal-handler", group="fault", specificity=81, check=check, documentation=__doc__ or "")
