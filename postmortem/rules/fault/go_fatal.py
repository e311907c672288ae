"""Fatal error of the Go run-time.

What it finds: a Go panic nobody recovered, or a fatal error of the run-time (deadlock, concurrent map
write).
Why it matters: the signal is only how Go ends with GOTRACEBACK=crash; the message is the cause.
Evidence it needs: frames of the run-time's panic or throw on the crashing stack, or its message.
False alarms: a signal sent from outside that Go passes on; that is killed-by-signal.
Rivals excluded: a signal from outside that Go passes on: Go's own fatal functions are on the stack.
What to do: read the message; recover or fix the panicking call.
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

_FATAL = (
    "runtime.gopanic",
    "runtime.throw",
    "runtime.fatalthrow",
    "runtime.fatalpanic",
    "runtime.fatal",
    "runtime.sigpanic",
    "runtime.dopanic_m",
    "runtime.panicmem",
)


RIVALS = ("A text of an earlier panic that was recovered.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if report.crash.signal is None:
        return
    frame = views.last_named(report, lambda name: name in _FATAL or name.startswith("runtime.goPanic"))
    go = (report.native.runtime or "").casefold() in ("go", "golang")
    text = (report.native.runtime_message or "").strip() if go else ""
    if frame is None and not text.startswith(("panic: ", "fatal error: ")):
        return
    if views.raised_by_cpu(report) and frame is None and "unexpected signal" in text:
        return  # A fault in C code: it is reported as such.
    caller = views.caller_of(report, frame[0]) if frame else views.blamed(report)
    where = f" in {culprit.label(caller[1])}{views.from_go(report, caller[0])}" if caller else ""
    between = views.crashing_frames(report)[frame[0] + 1 : caller[0]] if frame and caller else ()
    if caller is not None and any(item.trust == "scan" for item in between):
        where = f" below {culprit.label(caller[1])}"  # who called the run-time was found by a scan
    first_line = (text.splitlines() or [""])[0][:200]
    yield Finding(
        rule=RULE.id,
        title=f"Go run-time error{where}" + (f": {first_line}" if first_line else ""),
        severity="critical",
        confidence="certain" if frame else "likely",
        claim="cause",
        rivals=RIVALS,
        explanation=f"The Go run-time ended the process{where}."
        + (f" Its message, from memory: {first_line!r}." if first_line else " Its message was not found in memory."),
        evidence=proof(
            report,
            (views.frame_path(report, frame[0]) if frame else "", "the run-time's end of the process"),
            ("native.runtime_message" if text else "", "its message"),
            (
                (views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else ""),
                "the function",
            ),
        ),
        remedies=_DEEP
        if first_line.startswith("fatal error: stack overflow")
        else (
            f"Fix the panicking statement{where}, or recover where the work can be given up.",
            "Build and test with -race; read all goroutines with dlv core EXE CORE.",
        ),
    )


_DEEP = (
    "Find why the recursion does not end: a missing base case, a cycle in the data. It can't be recovered from.",
    "If the depth is legitimate, raise debug.SetMaxStack (1 GB on 64-bit), or make it a loop.",
)

RULE = Rule(id="go-fatal", group="fault", specificity=90, check=check, documentation=__doc__ or "")
