"""std::terminate without an exception.

What it finds: the C++ run-time ended the process although nothing was thrown.
Why it matters: the usual cause is a std::thread destroyed while it can still be joined.
Evidence it needs: std::terminate on the crashing stack, and no exception object in flight or the destructor of a
std::thread as its caller. __cxa_rethrow as its caller is a throw without operand and without an exception.
False alarms: an exception of a foreign run-time, or one whose memory is not in the core; hence likely only.
Rivals excluded: an exception in flight; an abort without terminate; a pure virtual call.
What to do: join or detach every std::thread before it is destroyed; std::jthread does so itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.fault.uncaught_cxx_exception import destroyed_thread, in_flight, terminating
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS = ("__cxa_pure_virtual", "__cxa_throw")
_JOIN = (
    "Join or detach every std::thread on all paths, also when an exception leaves the scope; std::jthread joins by"
    " itself."
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    terminate = terminating(report)
    if terminate is None or in_flight(report) is not None:
        return
    thread = destroyed_thread(report)
    if thread is None and (report.core.truncated or views.first_named(report, lambda name: name in _OTHERS)):
        return
    rethrow = None if thread else views.first_named(report, lambda name: name == "__cxa_rethrow")
    cause, text = _cause(report, thread is not None, rethrow is not None)
    yield Finding(
        rule=RULE.id,
        title=f"std::terminate without an exception{views.inside(report)}{cause}",
        severity="critical",
        confidence="certain" if thread else "likely",
        claim="observation",
        explanation=text,
        evidence=proof(
            report,
            (views.frame_path(report, terminate[0]), "the end of the process"),
            (views.frame_path(report, thread[0]) if thread else "", "the destructor"),
            (views.frame_path(report, rethrow[0]) if rethrow else "", "throw without operand"),
            ("native.exceptions", "exceptions found in memory"),
            (views.blamed_path(report), "the caller"),
        ),
        remedies=(
            *(() if rethrow else (_JOIN,)),
            *(() if thread else ("Look for a throw without operand outside of a catch block.",)),
        ),
    )


def _cause(report: Report, thread: bool, rethrow: bool) -> tuple[str, str]:
    """End of the title, and the explanation."""
    if thread:
        unwinding = (
            " Exceptions are in memory as well: one that was leaving the scope at the time may be why nobody joined"
            " it, but did not end the process."
            if report.native.exceptions
            else ""
        )
        return (
            ": a joinable std::thread was destroyed",
            "The destructor of a std::thread calls std::terminate when the thread was neither joined nor detached."
            + unwinding,
        )
    if rethrow:
        return (
            ": throw; with nothing to rethrow",
            "throw without operand (__cxa_rethrow) ran while no exception was being handled, and std::terminate ended"
            " the process.",
        )
    return (
        "",
        "std::terminate was called while no exception was in flight. The destructor of a joinable std::thread does so"
        " (it is often inlined), and so does throw without an exception.",
    )


RULE = Rule(id="terminate-without-exception", group="fault", specificity=80, check=check, documentation=__doc__ or "")
