"""Use of a static object before its initialiser, or once exit() destroys them.

What it finds: a bad pointer that was read from a static object while initialisers of static objects ran and the object
was all zeros still, or while a thread was in exit().
Why it matters: neither order is defined between source files, and exit() does not wait for other threads; it fails or
not by the order of the linker's arguments, or by chance.
Evidence it needs: the load that gave the bad pointer, the symbol that it was read from, and the initialiser or exit()
on a stack.
False alarms: a static object that is rightly empty; so it is likely only.
What to do: make such objects on first use (a function's own static), and end threads before main() returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit, lifetime, locks
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Evidence
    from postmortem.model.queries.lifetime import Held, Period


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    found = lifetime.untimely(report)
    if found is None or not views.raised_by_cpu(report):
        return
    yield _before(report, *found) if found[1].at == "initialization" else _after(report, *found)


def _before(report: Report, found: Held, time: Period) -> Finding:
    symbol = plain(found.holder.symbol or "")
    return Finding(
        rule=RULE.id,
        title=f"Use of the static object {symbol} before it was initialised{views.at_fault(report)}",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=(f"{symbol} is initialised as it should be, and its initialiser left it all zeros.",),
        explanation=(
            f"The bad pointer was read from {symbol}, whose {found.holder.size} bytes are all zero, while static"
            f" objects were being initialised. The order of initialisers in different source files is not defined, and"
            f" that of {symbol} had most likely not run."
        ),
        evidence=_evidence(report, found, time, "an initialiser of static objects"),
        remedies=(
            f"Make {symbol} a static variable of a function that returns a reference to it, so that the first use"
            " initialises it; or constinit where its constructor can be constexpr.",
            "Run a build with -fsanitize=address and ASAN_OPTIONS=check_initialization_order=1: it reports such uses.",
        ),
    )


def _after(report: Report, found: Held, time: Period) -> Finding:
    symbol = plain(found.holder.symbol or "")
    leaving = report.threads[time.thread]
    who = "This thread" if leaving.crashed else f"{locks.name(leaving)[0].upper()}{locks.name(leaving)[1:]}"
    destroying = "" if time.destructor is None else f", where it is in {culprit.label(time.destructor[1])}"
    return Finding(
        rule=RULE.id,
        title=f"Use of the static object {symbol}{views.at_fault(report)} while exit() destroys static objects",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=(f"{symbol} still lived, and the pointer in it was null or bad for another reason.",),
        explanation=(
            f"The bad pointer was read from {symbol}"
            + (", whose destructor exit() has called" if found.holder.destroyed else "")
            + f". {who} is in exit(){destroying}: the process was ending, and"
            " static objects are destroyed then"
            + (
                ", those of different source files in an order that is not defined."
                if leaving.crashed
                else " while other threads go on; whoever uses one afterwards uses what its destructor left."
            )
        ),
        evidence=_evidence(report, found, time, "exit() runs the destructors of static objects"),
        remedies=(
            "Stop and join the threads that use static objects before main() returns or exit() is called."
            if not leaving.crashed
            else f"Let no destructor of a static object use {symbol}, or make it a function's static object that is"
            " first used before the other one is made: it is destroyed after it then.",
            f"Or never destroy {symbol}: allocate it once and leave it (a reference to a new object).",
        ),
    )


def _evidence(report: Report, found: Held, time: Period, what: str) -> tuple[Evidence, ...]:
    return proof(
        report,
        (f"{found.where}.symbol", "the static object that the pointer was read from"),
        (f"{found.where}.unset", "whether all its bytes are zero"),
        (f"{found.where}.destroyed", "whether its destructor was called"),
        (time.where, what),
        (time.destructor[0] if time.destructor else "", "a destructor that runs"),
        ("crash.instruction", "the faulting instruction"),
        (views.blamed_path(report), "the function"),
    )


RULE = Rule(id="static-object-lifetime", group="fault", specificity=75, check=check, documentation=__doc__ or "")
