"""Stack smashing.

What it finds: a stack protector's canary was overwritten.
Why it matters: a local array of the named function was overrun; the return address is next to it.
Evidence it needs: libc's text "stack smashing detected", or __stack_chk_fail on the crashing stack; of musl, which
prints nothing, its stop (hlt) in that function.
False alarms: none known for the text; a canary read by code built for another libc.
Rivals excluded: another abort of libc: the check's function is on the stack.
What to do: look at the arrays of that function; AddressSanitizer stops at the write itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof, resolve
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    stopped = aborts.musl_stack_check(report)
    if not aborts.aborted(report) and not stopped:
        return
    said = "stack smashing detected" in aborts.message(report)
    frame = views.last_named(report, lambda name: name.startswith("__stack_chk_fail"))
    if not said and frame is None:
        return
    victim = views.caller_of(report, frame[0]) if frame else views.blamed(report)
    built = _built(report, victim[1].module if victim else None)
    name = culprit.label(victim[1]) if victim else "a function that could not be named"
    yield Finding(
        rule=RULE.id,
        title=f"Stack buffer overrun in {name}: its canary was overwritten",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"On return the stack protector found the guard word of {name} changed, so something wrote past"
            " the end of one of its local arrays. The frames below it on the stack may be damaged too, and"
            " the backtrace with them."
        ),
        evidence=proof(
            report,
            ("native.abort_message", "what libc said"),
            (views.frame_path(report, frame[0]) if frame else "", "the stack protector's check"),
            (
                (views.frame_path(report, victim[0], "function" if victim[1].function else "pc") if victim else ""),
                "whose canary it was",
            ),
            ("crash.instruction" if stopped else "", "musl's stop"),
            ("" if stopped else "native.stack_canary", "what the guard word should hold"),
            (f"{built}.fortified" if built and not stopped else "", "whether its copies are checked (_FORTIFY_SOURCE)"),
        ),
        remedies=(
            (f"Check every copy into a local array of {name}: strcpy, sprintf, read and loops without a bound."),
            "Rebuild with -fsanitize=address -g and run the same input: it stops at the write.",
            *(_FORTIFY if built and not stopped and resolve(report, f"{built}.fortified") is False else ()),
        ),
    )


_FORTIFY = (
    "Build with -O2 -D_FORTIFY_SOURCE=2: this module was not, and libc then checks copies into arrays of known size.",
)


def _built(report: Report, path: str | None) -> str | None:
    """Path of how a module was built, where its file was examined."""
    for index, module in enumerate(report.modules):
        if module.path == path and module.hardening is not None:
            return f"modules[{index}].hardening"
    return None


RULE = Rule(id="stack-smashing", group="fault", specificity=90, check=check, documentation=__doc__ or "")
