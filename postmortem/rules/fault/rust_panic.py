"""Rust panic.

What it finds: a panic that ended the process.
Why it matters: the message went to stderr; it is often still in memory.
Evidence it needs: frames of the panic run-time on the crashing stack, or its message.
False alarms: std::process::abort without a panic has none of these frames.
Rivals excluded: an abort without a panic: Rust's panic functions are on the stack.
What to do: handle the None, Err or index that panicked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_PANIC = Lazy(
    r"(?:rust_begin_unwind|rust_panic\w*|core::panicking::.*|std::panicking::.*|core::option::(?:unwrap|expect)_failed"
    r"|core::result::unwrap_failed|core::slice::index::slice_\w+_fail\w*|__rust_start_panic|__rustc?::rust_panic.*)"
)


RIVALS = ("A text of an earlier panic that was caught.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not views.signal_is(report, views.SIGABRT, views.SIGILL, views.SIGTRAP):
        return
    # std::panicking::try is at the bottom of every Rust stack.
    frame = views.last_named(
        report,
        lambda name: _PANIC.fullmatch(name) is not None and not re.search(r"::(?:r#)?(?:try|catch_unwind)\b", name),
    )
    rust = (report.native.runtime or "").casefold().startswith("rust")
    text = (report.native.runtime_message or "").strip() if rust else ""
    if frame is None and "panicked at" not in text:
        return
    caller = views.caller_of(report, frame[0]) if frame else views.blamed(report)
    where = f" in {culprit.label(caller[1])}" if caller else ""
    text, _, later = text.partition("\nthen, while that panic was unwound: ")
    first_line = " ".join(text.split())[:200]
    yield Finding(
        rule=RULE.id,
        title=f"Rust panic{where}" + (f": {first_line}" if first_line else ""),
        severity="critical",
        confidence="certain" if frame else "likely",
        claim="cause",
        rivals=RIVALS,
        explanation=f"The program panicked{where} and is built or was forced to abort on that."
        + (f" Its message, from memory: {first_line!r}." if first_line else " Its message was not found in memory.")
        + (
            f" While that panic was unwound, a destructor panicked in turn ({' '.join(later.split())[:200]!r}), which"
            " ends the process at once; the first panic is the cause."
            if later
            else ""
        ),
        evidence=proof(
            report,
            (views.frame_path(report, frame[0]) if frame else "", "the panic run-time"),
            ("native.runtime_message" if text else "", "the panic's message"),
            (
                (views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else ""),
                "what panicked",
            ),
        ),
        remedies=(
            f"Handle the case{where} instead of unwrap, expect or indexing: ?, get(), checked arithmetic.",
            "Run with RUST_BACKTRACE=1 to have message and backtrace in the log the next time.",
        ),
    )


RULE = Rule(id="rust-panic", group="fault", specificity=90, check=check, documentation=__doc__ or "")
