"""Rust panic.

What it finds: a panic that ended the process.
Why it matters: the message went to stderr; it is often still in memory.
Evidence it needs: frames of the panic run-time on the crashing stack, or its message. Of a panic that was being unwound
when another one ended the process, the exception object: it has the text, and not the place, whose frames are gone.
False alarms: std::process::abort without a panic has none of these frames.
Rivals excluded: an abort without a panic: Rust's panic functions are on the stack.
What to do: handle the None, Err or index that panicked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model.report import RustPanic

_PANIC = Lazy(
    r"(?:rust_begin_unwind|rust_panic\w*|core::panicking::.*|std::panicking::.*|core::option::(?:unwrap|expect)_failed"
    r"|core::result::unwrap_failed|core::slice::index::slice_\w+_fail\w*|__rust_start_panic|__rustc?::rust_panic.*)"
)
_CANNOT_UNWIND = Lazy(r"core::panicking::panic_(?:cannot|no)_unwind")
_PASSES = ("core::panicking::panic_no_unwind",)
_STARTED = Lazy(r"(?:.*::)?_*rust_start_panic(?:::abort)?|(?:.*::)?rust_panic")
_LONGEST = 200
_LOOK_FIRST = (
    "Look first at what panicked first: the destructors ran for it. Then let no panic out of Drop::drop: check"
    " std::thread::panicking() there, or return errors instead."
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
    story = _story(report, where, " ".join(text.split()), frame is not None)
    yield Finding(
        rule=RULE.id,
        title=story.title,
        severity="critical",
        confidence="certain" if frame else "likely",
        claim="cause",
        rivals=RIVALS,
        explanation=story.text,
        evidence=proof(
            report,
            (views.frame_path(report, frame[0]) if frame else "", "the panic run-time"),
            ("native.runtime_message" if text else "", "the panic's message" if not story.panics else "what it said"),
            *((f"native.panics[{index}].text", meaning) for index, meaning in story.panics),
            (
                (views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else ""),
                "where unwinding was" if story.panics else "what panicked",
            ),
        ),
        remedies=(
            story.remedy,
            "Run with RUST_BACKTRACE=1 to have message and backtrace in the log the next time.",
        ),
    )


class _Story(NamedTuple):
    """panics: index and meaning of those of native.panics that the text tells."""

    title: str
    text: str
    remedy: str
    panics: tuple[tuple[int, str], ...] = ()


def _story(report: Report, where: str, message: str, on_stack: bool) -> _Story:
    message = message[:_LONGEST]
    cleanup = views.first_named(report, lambda name: name == "core::panicking::panic_in_cleanup")
    if cleanup is not None:
        return _in_cleanup(report, where, cleanup[0])
    boundary = views.first_named(report, lambda name: _CANNOT_UNWIND.fullmatch(name) is not None)
    if boundary is not None:
        return _cannot_unwind(report, where, boundary[0])
    said = f" Its message, from memory: {message!r}." if message else " Its message was not found in memory."
    fix = f"Handle the case{where} instead of unwrap, expect or indexing: ?, get(), checked arithmetic."
    title = f"Rust panic{where}" + (f": {message}" if message else "")
    if not report.native.panics:
        return _Story(title, f"The program panicked{where}{_ended(report, on_stack)}.{said}", fix)
    first = report.native.panics[0]
    return _Story(
        f"Rust panic while another panic was unwound{where}"
        + (f": {message}" if message else "")
        + (f"; the first one: {_short(first)}" if first.text else ""),
        f"The program panicked{where} while another panic was unwound, which ends the process at once.{said} The first"
        f" panic, {_quoted(first)}, is what the destructors ran for; its own frames are gone.",
        _LOOK_FIRST,
        ((0, "the text of the first panic"),),
    )


def _in_cleanup(report: Report, where: str, index: int) -> _Story:
    """A panic left a destructor that ran for another panic: the frames of both are gone."""
    here = _sp_of_caller(report, index)
    found = list(enumerate(report.native.panics))
    second = next((item for item in found if item[1].taken_at == here), None)
    first = next((item for item in found if here is not None and item[1].taken_at > here), None)
    texts = [item[1].text for item in (first, second) if item is not None and item[1].text]
    title = "Rust panic" + (f": {_short(first[1])}" if first and first[1].text else "")
    title += f"; while it was unwound{where}, a destructor panicked"
    title += f": {_short(second[1])}" if second and second[1].text else ""
    return _Story(
        title,
        f"While a panic was unwound{where}, a destructor panicked and the panic left it, which ends the process."
        + (f" The first panic's text is {_quoted(first[1])}." if first else " The first panic's text was not found.")
        + (f" The destructor's is {_quoted(second[1])}." if second else " The destructor's text was not found.")
        + f" Both were unwound to this place: each came from{where.removeprefix(' in') or ' it'} or from something"
        " that it had called." + (" The first panic is what to look at first." if texts else ""),
        _LOOK_FIRST,
        tuple(
            (item[0], meaning)
            for item, meaning in ((first, "the text of the first panic"), (second, "the text of the destructor's"))
            if item is not None and item[1].text
        ),
    )


def _cannot_unwind(report: Report, where: str, index: int) -> _Story:
    """A panic arrived at a function that lets none out: extern "C"."""
    here = _sp_of_caller(report, index)
    found = next((item for item in enumerate(report.native.panics) if item[1].taken_at == here), None)
    passes = plain(views.crashing_frames(report)[index].function or "") in _PASSES
    if passes and found is None and here is not None and len(report.native.panics) == 1:
        only = report.native.panics[0]
        found = (0, only) if only.taken_at > here else None  # it was on its way further out
    text = found[1].text if found is not None else None
    said = f": {_short(found[1])}" if found is not None and text else ""
    return _Story(
        f"Rust panic{said}, stopped{where}, which cannot unwind",
        f'A panic arrived{where}, a function that lets none out (extern "C" is so), which ends the process.'
        + (f" Its text is {text!r}." if text else " Its text was not found in memory.")
        + f" What panicked is{where.removeprefix(' in') or ' that function'} or something that it had called:"
        " unwinding had come to this place.",
        f"Catch the panic{where} (std::panic::catch_unwind) and return an error to the caller, or handle the case that"
        " panics.",
        ((found[0], "the panic's text"),) if found is not None and text else (),
    )


def _sp_of_caller(report: Report, index: int) -> int | None:
    """Stack pointer of the function that called frame `index`."""
    frames = views.crashing_frames(report)[index + 1 :]
    return next((frame.sp for frame in frames if not frame.inlined), None)


def _short(panic: RustPanic) -> str:
    return " ".join((panic.text or "").split())[:_LONGEST]


def _quoted(panic: RustPanic) -> str:
    return repr(_short(panic)) if panic.text else "whose text is not known"


def _ended(report: Report, on_stack: bool) -> str:
    """Why the panic ended the process, as far as the stack tells."""
    if views.first_named(report, lambda name: name.startswith("core::panicking::panic_nounwind")):
        return ", with a panic that does not unwind, which ends the process"
    if views.first_named(report, lambda name: _STARTED.fullmatch(name) is not None):
        return " and is built to abort on that (panic=abort), or nothing was there that could unwind it"
    return ", and the run-time ended the process" if on_stack else ""


RULE = Rule(id="rust-panic", group="fault", specificity=90, check=check, documentation=__doc__ or "")
