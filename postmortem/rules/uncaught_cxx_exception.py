"""C++ exception that nobody caught.

What it finds: std::terminate with an exception in flight; its type and what() are read from memory.
Why it matters: the text went to stderr and is lost; the core still has it.
Evidence it needs: std::terminate or its handler on the crashing stack, and an exception object.
False alarms: remains of exceptions handled before; they count only while terminate is on the stack. With
several objects the newest in flight is a guess, and the finding likely.
What to do: catch it where it can be handled, or remove the noexcept that stopped it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Frame, Report
from postmortem.rules import aborts, culprit, views
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model.report import CxxException

TERMINATE = (
    "std::terminate",
    "__cxxabiv1::__terminate",
    "__gnu_cxx::__verbose_terminate_handler",
    "__verbose_terminate_handler",
    "std::__terminate",
    "demangling_terminate_handler",
    # A stripped libstdc++ names only this: abort() above it means that it found a noexcept boundary.
    "__gxx_personality_v0",
)


def terminating(report: Report) -> tuple[int, Frame] | None:
    """The outermost terminate frame of a process that aborted."""
    if not aborts.aborted(report):
        return None
    return views.last_named(report, lambda name: name in TERMINATE)


def in_flight(report: Report) -> tuple[int, CxxException] | None:
    """Index and value of the exception that ended the process; None unless it is terminating."""
    if terminating(report) is None:
        return None
    numbered = list(enumerate(report.native.exceptions))
    mine = [item for item in numbered if item[1].tid is not None and item[1].tid == report.crash.tid]
    # terminate() takes the exception as caught once: its handler count is 1 then, 0 or stale elsewhere.
    candidates = mine or [item for item in numbered if item[1].tid is None]
    handled = [item for item in candidates if item[1].handler_count > 0]
    return next(iter(handled or candidates), None)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    found = in_flight(report)
    terminate = terminating(report)
    if found is None or terminate is None:
        return
    index, exception = found
    thrower = views.first_named(
        report, lambda name: name in ("__cxa_throw", "__cxa_rethrow", "_Unwind_RaiseException")
    )
    origin = views.caller_of(report, max(terminate[0], thrower[0] if thrower else 0))
    what = f": {exception.what}" if exception.what else ""
    where = f" from {culprit.label(origin[1])}" if origin else ""
    personality = views.first_named(
        report, lambda name: name.startswith(("__gxx_personality", "__cxa_call_terminate"))
    )
    how = (
        " The search for a handler ended at a function that is noexcept (destructors are)."
        if personality
        else " No handler was found up to the bottom of the stack, or a noexcept function stood in between."
    )
    said = f", whose what() is {exception.what!r}" if exception.what else ""
    yield Finding(
        rule=RULE.id,
        title=f"Uncaught C++ exception {exception.type}{what}{where}",
        severity="critical",
        confidence="certain" if len(report.native.exceptions) == 1 or exception.tid is not None else "likely",
        explanation=(
            f"std::terminate ended the process while an exception of type {exception.type}{said} was in"
            f" flight.{how} The text itself went to stderr; it is read here from the exception object in"
            " memory."
        ),
        evidence=proof(
            report,
            (f"native.exceptions[{index}].type", "type of the exception"),
            (f"native.exceptions[{index}].what", "its text"),
            (f"native.exceptions[{index}].address", "the exception object"),
            (views.frame_path(report, terminate[0]), "the end of the process"),
            (
                (
                    views.frame_path(report, origin[0], "function" if origin[1].function else "pc")
                    if origin
                    else ""
                ),
                "where it was thrown",
            ),
        ),
        remedies=(
            (
                f"Catch {exception.type} where it can be handled; at the latest in main() and in each"
                " thread's entry function."
            ),
            "If a handler exists, look for a noexcept function or a destructor between it and the throw.",
        ),
    )


RULE = Rule(
    id="uncaught-cxx-exception", group="fault", specificity=88, check=check, documentation=__doc__ or ""
)
