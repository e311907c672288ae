"""Deliberate abort.

What it finds: the process called abort(), and nothing says why.
Why it matters: somebody wrote that call; the function that did is where to read on.
Evidence it needs: SIGABRT sent by the process to itself.
False alarms: any rule that knows the reason silences this one.
Rivals excluded: a signal from another process: the sender is this one; an abort whose reason is known, which has a
rule of its own.
What to do: read the condition before the abort, and the log just before the crash.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not aborts.aborted(report) or views.code(report) is None:
        return
    where = views.inside(report)
    caller = views.blamed(report)
    call = (aborts.call(report, caller[0]) if caller else None) or "abort()"
    text = aborts.message(report)
    logged = _logged(report) if not text else None
    said = f" libc said {text!r}." if text else " It left no text that this tool knows of; its log may have it."
    if logged and report.native.runtime == "V8" and caller and _OF_V8.match(caller[1].function or ""):
        where, caller = "", None
    if logged:
        said = f" {report.native.runtime} said {logged!r}: a fatal error that the program reported on purpose."
    lost = _is_lost(report)
    reported = lost and views.java_process(report)
    if reported:
        said = (
            " A JVM aborts so after it has reported a crash in hs_err_pid"
            f"{report.process.pid or ''}.log; what led there is not in what is left of the stack."
        )
    elif lost:
        said = " What called it is not in what is left of the stack."
    yield Finding(
        rule=RULE.id,
        title=f"Fatal error reported with {report.native.runtime}{where}: {logged}"
        if logged
        else f"{call} called{where}" + (f": {text.splitlines()[0][:120]}" if text else ""),
        severity="high",
        confidence="possible" if lost else "certain",
        claim="observation",
        explanation=f"The process ended itself with {call}{where}.{said}",
        evidence=proof(
            report,
            ("crash.signal.code_name", "sent by the process to itself"),
            ("native.abort_message", "what libc said"),
            ("native.runtime_message" if logged else "", "what was reported"),
            (views.blamed_path(report) if caller else "", "the caller"),
        ),
        remedies=(
            f"Find the log hs_err_pid{report.process.pid or '<pid>'}.log (working directory, /tmp, -XX:ErrorFile) and"
            " analyze it, or give it with --hs-err."
            if reported
            else f"Read the condition before the call of {call}{where}, and what the program logged just before.",
        ),
    )


def _logged(report: Report) -> str | None:
    """What a log that ends the process was told, without time and thread; its place in the source is kept."""
    if report.native.runtime not in _LOGS or not report.native.runtime_message:
        return None
    text = " ".join(re.sub(r"^F\d{4,8} [\d:.]+ +\d+ ", "", report.native.runtime_message.strip()).split())
    place = re.match(r"(?P<place>[^ :]+:\d+)(?:\]|:) ", text)
    if place and place["place"].rpartition("/")[2] in views.inside(report):
        text = text[place.end() :]
    return text[:200] or None


def _is_lost(report: Report) -> bool:
    """The stack can't be read right above abort()."""
    found = views.crashing_thread(report)
    if found is None or found[1].ended == "bottom":
        return False
    return len({frame.module for frame in found[1].frames}) <= 1


_OF_V8 = Lazy(r"(?:v8|node)::|Builtins_|std::__shared|.* v8::internal::")
_LOGS = ("glog", "Abseil", "Qt", "V8", "Python")

RULE = Rule(id="deliberate-abort", group="fault", specificity=20, check=check, documentation=__doc__ or "")
