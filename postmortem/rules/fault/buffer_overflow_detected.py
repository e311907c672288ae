"""A fortified function refused to overrun its destination.

What it finds: libc's text "buffer overflow detected", written by the checked variants of strcpy, memcpy, ….
Why it matters: nothing was overwritten yet: the call that would have done it is on the stack.
Evidence it needs: that text, or __chk_fail on the crashing stack.
False alarms: none known.
Rivals excluded: another abort of libc: the checked function, or its own words, are on the stack.
What to do: look at the size of the destination in the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


RIVALS = ("Another abort of libc from the same function.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not aborts.aborted(report):
        return
    said = "buffer overflow detected" in aborts.message(report)
    frame = views.last_named(report, lambda name: name.endswith("_chk") or name == "__chk_fail")
    if not said and frame is None:
        return
    caller = views.caller_of(report, frame[0]) if frame else views.blamed(report)
    by = culprit.label(caller[1]) if caller else "a function that could not be named"
    function = plain(frame[1].function or "") if frame else ""
    what = function.removeprefix("__").removesuffix("_chk") if function.endswith("_chk") else "A checked libc call"
    yield Finding(
        rule=RULE.id,
        title=f"{what} would have overrun its destination in {by}",
        severity="critical",
        confidence="certain" if said else "likely",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            "The program is built with _FORTIFY_SOURCE: libc knew the size of the destination, saw that the"
            f" call would write past it, and aborted before writing. The call is in {by}."
        ),
        evidence=proof(
            report,
            ("native.abort_message", "what libc said"),
            (views.frame_path(report, frame[0]) if frame else "", "the checked function"),
            (
                (views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else ""),
                "its caller",
            ),
        ),
        remedies=(
            (
                f"Compare the destination's size in {by} with the length of the input; use a bounded call and"
                " check for truncation."
            ),
            (
                "If the text names a file descriptor (__fdelt_chk), a descriptor of 1024 or more reached"
                " select(): use poll or epoll."
            ),
        ),
    )


RULE = Rule(id="buffer-overflow-detected", group="fault", specificity=90, check=check, documentation=__doc__ or "")
