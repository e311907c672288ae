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

from postmortem.model import Finding, Frame, Report
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
    if views.raised_by_cpu(report) and frame is None and ("unexpected signal" in text or text in _FAULTS):
        return  # A fault in C code, or in Go's at no null pointer: it is reported as such.
    caller = views.caller_of(report, frame[0]) if frame else views.blamed(report)
    where = f" in {culprit.label(caller[1])}{views.from_go(report, caller[0])}" if caller else ""
    between = views.crashing_frames(report)[frame[0] + 1 : caller[0]] if frame and caller else ()
    if caller is not None and any(item.trust == "scan" for item in between):
        where = f" below {culprit.label(caller[1])}"  # who called the run-time was found by a scan
    first_line = (text.splitlines() or [""])[0][:200]
    asleep = _asleep(report) if "all goroutines are asleep" in first_line else ()
    places = "; ".join(words for _, words in asleep)
    if asleep:
        where = f": {'; '.join(words for _, words in asleep[:_PLACES])}"
    yield Finding(
        rule=RULE.id,
        title=f"Go: {first_line.removeprefix('fatal error: ')}{where}"
        if asleep
        else f"Go run-time error{where}" + (f": {first_line}" if first_line else ""),
        severity="critical",
        confidence="certain" if frame else "likely",
        claim="cause",
        rivals=RIVALS,
        explanation=f"The Go run-time ended the process{'' if asleep else where}."
        + (f" Its message, from memory: {first_line!r}." if first_line else " Its message was not found in memory.")
        + (f" Every goroutine waits, none is left to wake another: {places}." if asleep else ""),
        evidence=proof(
            report,
            (views.frame_path(report, frame[0]) if frame else "", "the run-time's end of the process"),
            ("native.runtime_message" if text else "", "its message"),
            (
                (views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else ""),
                "the function",
            ),
            *((path, "where goroutines of the program wait") for path, _ in asleep),
        ),
        remedies=_remedies(first_line, "" if asleep else where),
    )


def _asleep(report: Report) -> tuple[tuple[str, str], ...]:
    """(path, "3 in main.(*stage).run(), main.go:12 (chan send)") of the goroutines that wait."""
    found: list[tuple[str, str]] = []
    for at, runtime in enumerate(report.runtimes):
        for number, group in enumerate(runtime.goroutines):
            if group.state == "waiting" and len(found) < _GROUPS:
                frame = Frame(pc=None, sp=None, function=group.function, file=group.file, line=group.line)
                count = f"{group.count} goroutines" if group.count > 1 else f"goroutine {group.ids[0]}"
                reason = f" ({group.reason})" if group.reason else ""
                path = f"runtimes[{at}].goroutines[{number}].function"
                found.append((path, f"{count} in {culprit.label(frame)}{reason}"))
    return tuple(found)


def _remedies(message: str, where: str) -> tuple[str, ...]:
    if message.startswith("fatal error: stack overflow"):
        return _DEEP
    if "all goroutines are asleep" in message:
        return _ASLEEP
    if message.startswith("fatal error: concurrent map"):
        return _MAP
    if message.startswith("fatal error: "):
        return (
            f"Look at what the message says of the statement{where}: a fatal error can't be recovered from.",
            "Read all goroutines with dlv core EXE CORE.",
        )
    return (
        f"Fix the panicking statement{where}, or recover where the work can be given up.",
        "Build and test with -race; read all goroutines with dlv core EXE CORE.",
    )


_FAULTS = ("fatal error: fault", "fatal error: unexpected fault address")
_PLACES = 3
_GROUPS = 8
_ASLEEP = (
    "See for each place who was to do the other half: a send without a receiver left, a receive from a channel that is"
    " never closed, a WaitGroup without its last Done, a Mutex that is never unlocked.",
    "Read all stacks with dlv core EXE CORE, or from the output of the run: it can't be recovered from.",
)
_MAP = (
    "Guard the map with a mutex, or use sync.Map: another goroutine uses it now. That can't be recovered from.",
    "Build and test with -race: it names both accesses.",
)
_DEEP = (
    "Find why the recursion does not end: a missing base case, a cycle in the data. It can't be recovered from.",
    "If the depth is legitimate, raise debug.SetMaxStack (1 GB on 64-bit), or make it a loop.",
)

RULE = Rule(id="go-fatal", group="fault", specificity=90, check=check, documentation=__doc__ or "")
