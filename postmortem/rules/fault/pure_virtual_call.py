"""Call of a pure virtual function.

What it finds: __cxa_pure_virtual on the crashing stack.
Why it matters: the object was of its abstract base class at that moment: being built, being destroyed, or
gone.
Evidence it needs: the function's name on the crashing stack.
False alarms: none known.
Rivals excluded: another abort: the runtime's function for it is on the stack.
What to do: look for virtual calls from constructors and destructors, and for use after destruction.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


_SEARCHED = 64
_DESTRUCTOR = re.compile(r"(?<!std::)\b(\w+)(?:<[^()]*>)?::~\1\b")


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    frame = views.last_named(report, lambda name: name in ("__cxa_pure_virtual", "__cxa_deleted_virtual"))
    if frame is None:
        return
    caller = views.caller_of(report, frame[0])
    by = f" by {culprit.label(caller[1])}" if caller else ""
    other = _destroying(report)
    seen = ""
    if other is not None:
        thread = report.threads[other[0]]
        who = f"{thread.tid} ({thread.name})" if thread.name else f"{thread.tid}"
        seen = (
            f" Thread {who} is in {culprit.label(thread.frames[other[1]])}: a destructor that runs while this thread"
            " uses the object would leave it so."
        )
    yield Finding(
        rule=RULE.id,
        title=f"Pure virtual function called{by}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"The vtable slot called{by} still held the placeholder of an abstract class. An object has its"
            " base class's vtable while the base's constructor or destructor runs, and often after its"
            f" destruction.{seen}"
        ),
        evidence=proof(
            report,
            (views.frame_path(report, frame[0]), "the placeholder was called"),
            (
                (views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else ""),
                "by this function",
            ),
            (f"threads[{other[0]}].frames[{other[1]}].function" if other else "", "a destructor on another thread"),
        ),
        remedies=(
            *((_JOIN,) if other is not None else ()),
            "Do not call virtual functions from a constructor or destructor, nor functions that do.",
            (
                "If no constructor or destructor is on the stack, another thread may still use the object"
                " while it is destroyed: rebuild with -fsanitize=address or -fsanitize=thread."
            ),
        ),
    )


_JOIN = (
    "Stop and join the threads that use an object before its destruction begins: in the destructor of the most derived"
    " class, or in a function of its own that its owner calls first."
)


def _destroying(report: Report) -> tuple[int, int] | None:
    """(thread, frame) of a destructor of the program's own that another thread is in, where one alone is."""
    found = [
        (number, index)
        for number, thread in enumerate(report.threads)
        if not thread.crashed
        for index, frame in enumerate(thread.frames[:_SEARCHED])
        if _DESTRUCTOR.search(frame.function or "") and frame.trust != "scan" and not culprit.machinery(frame)
    ]
    return found[0] if len({number for number, _ in found}) == 1 else None


RULE = Rule(id="pure-virtual-call", group="fault", specificity=92, check=check, documentation=__doc__ or "")
