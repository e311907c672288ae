"""std::terminate without an exception.

What it finds: the C++ run-time ended the process although nothing was thrown.
Why it matters: the usual cause is a std::thread destroyed while it can still be joined.
Evidence it needs: std::terminate on the crashing stack and no exception object in flight.
False alarms: an exception of a foreign run-time, or one whose memory is not in the core; hence likely only.
What to do: join or detach every std::thread before it is destroyed; std::jthread does so itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.rules import views
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule
from postmortem.rules.uncaught_cxx_exception import in_flight, terminating

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    terminate = terminating(report)
    if terminate is None or in_flight(report) is not None or report.core.truncated:
        return
    if views.first_named(report, lambda name: name in ("__cxa_pure_virtual", "__cxa_throw", "__cxa_rethrow")):
        return
    thread = views.first_named(
        report, lambda name: name.startswith(("std::thread::~thread", "std::thread::operator="))
    )
    yield Finding(
        rule=RULE.id,
        title=f"std::terminate without an exception{views.inside(report)}"
        + (": a joinable std::thread was destroyed" if thread else ""),
        severity="critical",
        confidence="certain" if thread else "likely",
        explanation="std::terminate was called while no exception was in flight. "
        + (
            "The destructor of a std::thread calls it when the thread was neither joined nor detached."
            if thread
            else (
                "The destructor of a joinable std::thread does so (it is often inlined), and so does throw"
                " without an exception."
            )
        ),
        evidence=proof(
            report,
            (views.frame_path(report, terminate[0]), "the end of the process"),
            (views.frame_path(report, thread[0]) if thread else "", "the destructor"),
            ("native.exceptions", "exceptions found in memory"),
            (views.blamed_path(report), "the caller"),
        ),
        remedies=(
            (
                "Join or detach every std::thread on all paths, also when an exception leaves the scope;"
                " std::jthread joins by itself."
            ),
            "Look for a throw without operand outside of a catch block.",
        ),
    )


RULE = Rule(
    id="terminate-without-exception", group="fault", specificity=80, check=check, documentation=__doc__ or ""
)
