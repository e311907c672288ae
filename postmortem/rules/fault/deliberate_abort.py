"""Deliberate abort.

What it finds: the process called abort(), and no runtime says why. Of a program that does so in a function of its own
(die(), log_fatal()) the caller of that is named, and the text that it was given.
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
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model.queries import wrappers


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not aborts.aborted(report) or views.code(report) is None:
        return
    caller = views.blamed(report)
    call = (aborts.call(report, caller[0]) if caller else None) or "abort()"
    wrapped = aborts.wrapped(report)
    if wrapped is not None and not aborts.message(report) and not _logged(report):
        yield _through(report, call, wrapped)
        return
    where = views.inside(report)
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


def _through(report: Report, call: str, wrapped: wrappers.Reported) -> Finding:
    """abort() was called by a function of the program that exists for that: who called it is named."""
    names = [f"{plain(frame.function or '')}()" for frame in wrapped.through]
    where = f" in {culprit.label(wrapped.frame)}"
    said = re.sub(r"^\[?[^\s:]+:\d+[:\])]+ ", "", wrapped.said) if wrapped.said else None
    chain = f"{names[0]}, which called " + ", ".join(names[1:]) if len(names) > 1 else names[0]
    shown = f": {' '.join(said.split())[:_SHOWN]}" if said else ""
    where_found = "it was given" if said and wrapped.texts else "memory has"
    found = views.crashing_thread(report)
    index = 0 if found is None else found[0]
    paths = [(f"native.fatal_calls[{number}]", item) for number, item in enumerate(report.native.fatal_calls)]
    return Finding(
        rule=RULE.id,
        title=f"{call} called through {names[0]}{where}{shown}",
        severity="high",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The process ended itself with {call}:{where.replace(' in ', ' ', 1)} called {chain}. {names[0]} is taken"
            f" for the program's way to report an error and to end: {wrapped.why}."
            + (f" The text that {where_found}: {said!r}." if said else " It was given no text that this tool can read.")
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "sent by the process to itself"),
            (f"threads[{index}].frames[{wrapped.at}].function", f"the caller of {names[0]}"),
            *((f"{path}.text", "what was said, from memory") for path, item in paths if item.text),
            *((f"{path}.strings", "literals of a call on the way to abort()") for path, item in paths if item.strings),
        ),
        remedies=(
            f"Read the condition before the call of {names[0]}{where}, and what the program logged just before.",
        ),
    )


_SHOWN = 160
"""Characters of a text in the title."""


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
