"""Failed assertion.

What it finds: assert() failed; expression, file, line and function are verbatim from memory.
Why it matters: the program itself says what it held for impossible.
Evidence it needs: libc's abort text, or __assert_fail on the crashing stack.
False alarms: malloc's own assertions are heap-corruption.
What to do: ask which caller broke the condition, not how to silence it.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.rules import aborts, culprit, views
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASSERTION = re.compile(
    r"(?:.*?: )??(?P<file>[^:\n]+):(?P<line>\d+): (?:(?P<function>[^\n]*?): )?"
    r"Assertion [`'](?P<expression>.*)' failed",
    re.DOTALL,
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not aborts.aborted(report):
        return
    text = aborts.message(report)
    if "Assertion" not in text:
        text = (report.native.assertion or "").strip()
    frame = views.last_named(report, lambda name: name.startswith(("__assert", "__libc_assert")))
    if (not text and frame is None) or re.search(r"malloc\.c|sysmalloc", text):
        return
    parts = _ASSERTION.match(text)
    expression = parts["expression"] if parts else text
    caller = views.caller_of(report, frame[0]) if frame else views.blamed(report)
    where = f" in {culprit.label(caller[1])}" if caller else ""
    if parts:
        place = f"{PurePosixPath(parts['file']).name}:{parts['line']}"
        where = f" in {parts['function'] or 'an unnamed function'}, {place}"
    said = f": {expression}" if expression else ""
    yield Finding(
        rule=RULE.id,
        title=f"Assertion failed{where}{said}",
        severity="critical",
        confidence="certain",
        explanation=(
            f"The program stated that {expression!r} always holds{where}; it did not hold."
            if expression
            else f"An assertion failed{where}; its text is not in the core."
        )
        + " It aborted itself on purpose; what made the condition false happened before.",
        evidence=proof(
            report,
            ("native.abort_message", "what libc said"),
            ("native.assertion", "the assertion"),
            (views.frame_path(report, frame[0]) if frame else "", "the failing assert"),
            (
                (
                    views.frame_path(report, caller[0], "function" if caller[1].function else "pc")
                    if caller
                    else ""
                ),
                "the function that asserts",
            ),
        ),
        remedies=(
            (
                f"Print the values in {expression!r} in the debugger at the asserting frame, and follow them"
                " to their writer."
                if expression
                else "Install the debug symbols of the asserting module and look at the values in its frame."
            ),
            "If the condition depends on input, it must be checked and reported, not asserted.",
        ),
    )


RULE = Rule(id="assertion-failure", group="fault", specificity=92, check=check, documentation=__doc__ or "")
