"""Breakpoint without a debugger.

What it finds: int3 or brk reached, or a trap of the debug registers.
Why it matters: the program stopped itself on purpose: a debug break, or a check that ends in one.
Evidence it needs: SIGTRAP raised by the processor.
False alarms: a debugger that detached and left its breakpoints behind.
GLib's g_error() (and a criticality made fatal by G_DEBUG) ends so on purpose, and is named as such.
Rivals excluded: a trap that somebody sent: only one that the CPU raised at a breakpoint instruction counts.
What to do: look at the check before the instruction; for g_error() read the message that it printed.
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


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not views.signal_is(report, views.SIGTRAP) or not views.raised_by_cpu(report):
        return
    frames = views.crashing_frames(report)
    glib = views.last_named(report, _is_glib) if frames and culprit.machinery(frames[0]) else None
    caller = views.caller_of(report, glib[0]) if glib else None
    where = f" in {culprit.label(caller[1])}" if caller else views.inside(report)
    v8 = report.native.runtime_message if report.native.runtime == "V8" else None
    if v8 is not None:
        yield _of_v8(report, v8)
        return
    yield Finding(
        rule=RULE.id,
        title=f"GLib's g_error() or a fatal g_log() ended the program{where}"
        if glib
        else f"Breakpoint instruction reached{where}",
        severity="high",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The program logged a message{where} that GLib takes as fatal: g_error(), or a warning or criticality"
            " that G_DEBUG or g_log_set_always_fatal() makes fatal. GLib printed the message and then executed a"
            " breakpoint on purpose, for a debugger."
            if glib
            else "The processor raised a debug trap and no debugger was there. Programs and libraries (V8, GLib,"
            " Chromium, raise(SIGTRAP), __debugbreak) place such an instruction behind a check that must not"
            " fail. pc is already past it."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "raised by the processor"),
            ("crash.pc", "just behind the breakpoint"),
            (views.frame_path(report, glib[0]) if glib else "", "GLib's log"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            "Read the message on stderr or in the journal, and the call of g_error() or g_log() in the function above.",
        )
        if glib
        else (
            "Look at the source line of the crashing frame for the check that leads to the trap.",
            ("If nothing in the source traps, a debugger or tracer left a breakpoint in the code when it detached."),
        ),
    )


def _of_v8(report: Report, text: str) -> Finding:
    said = " ".join(text.split())[:200]
    return Finding(
        rule=RULE.id,
        title=f"V8 ended the process: {said}",
        severity="high",
        confidence="certain",
        claim="observation",
        explanation=f"The JavaScript engine V8 executed a breakpoint on purpose: {said}. Its message went to stderr.",
        evidence=proof(
            report,
            ("crash.signal.code_name", "raised by the processor"),
            ("native.runtime_message", "why V8 does so here"),
            (views.frame_path(report, 0), "the function of V8"),
        ),
        remedies=(
            "Read the message and the JavaScript stack on stderr; llnode shows the JavaScript frames of the core.",
        ),
    )


def _is_glib(name: str) -> bool:
    return name in ("g_log", "g_logv", "g_log_default_handler", "g_log_variant") or name.startswith("g_log_structured")


RULE = Rule(id="breakpoint-trap", group="fault", specificity=70, check=check, documentation=__doc__ or "")
