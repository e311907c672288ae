"""Failed assertion.

What it finds: assert(), an assertion of libstdc++ (-D_GLIBCXX_ASSERTIONS) or GLib's g_assert() failed; expression,
file, line and function are verbatim from memory.
Why it matters: the program itself says what it held for impossible.
Evidence it needs: the text of libc, libstdc++ or GLib, or a function of theirs that fails on the crashing stack.
False alarms: malloc's own assertions are heap-corruption. One of libc's mutexes speaks of the program's mutex.
Rivals excluded: an abort without an assertion: it leaves neither the text nor libc's function; an assertion of the
allocator's own, which is heap-corruption.
What to do: ask which caller broke the condition, not how to silence it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASSERTION = Lazy(
    r"(?:.*?: )??(?P<file>[^:\n]+):(?P<line>\d+): (?:(?P<function>[^\n]*?): )?"
    r"Assertion [`'](?P<expression>.*)' failed",
    re.DOTALL,
)
_GLIBC = Lazy(
    r"Fatal glibc error: (?P<file>[^:\n]+):(?P<line>\d+) \((?P<function>[^\n)]*)\): assertion failed:"
    r" (?P<expression>.*)",
    re.DOTALL,
)
"""An assertion of glibc itself, from 2.42 on (malloc's, from 2.37)."""
_GLIB = Lazy(r"(?:[^\n:]*:)?ERROR:(?P<file>[^:\n]+):(?P<line>\d+):(?:(?P<function>[^\n]*?):)? (?P<said>.+)", re.DOTALL)
_GLIB_FAILED = Lazy(r"assertion failed:? \((?P<expression>.*?)\)(?::(?P<values> .*))?$", re.DOTALL)
_LOGGED = Lazy(r"F\d{4,8} [\d:.]+ +\d+ (?P<file>[^:\n]+):(?P<line>\d+)\] (?P<said>.*)", re.DOTALL)
"""A line of glog or Abseil."""
_CHECK = Lazy(r"(?:[^\n:]+:\d+: )?(?:(?:Debug )?[Cc]heck failed(?::|\b) ?|Check (?P<what>.{1,300}) failed(?=:))")
_STATED = ("libstdc++", "GLib", "assert", "Qt", "V8", "glog", "Abseil")
_MUTEX = Lazy(r"(?:pthread_)?(?:mutex|rwlock|tpp)[\w-]*\.[ch]:")
_FAILING = (
    "__assert",
    "__libc_assert",
    "std::__glibcxx_assert_fail",
    "std::__replacement_assert",
    "g_assertion_message",
    "qt_assert",
    "boost::assertion_failed",
)
_LOG = Lazy(r"google::(?:LogMessage|Check).*|absl::.*(?:LogMessage|RawLog).*|V8_Fatal.*|v8::base::.*Check.*")
"""Functions of logs, which report failed checks among others."""


class _Failed(NamedTuple):
    """place: "file:line". where: the evidence with the text. checked: by a CHECK macro of a log."""

    expression: str = ""
    function: str = ""
    place: str = ""
    where: str = "native.abort_message"
    checked: bool = False


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not aborts.aborted(report):
        return
    failed = _failed(report)
    frame = views.last_named(
        report, lambda name: name.startswith(_FAILING) or bool(failed and failed.checked and _LOG.fullmatch(name))
    )
    if (failed is None and frame is None) or re.search(r"malloc\.c|sysmalloc", _text(report)):
        return
    failed = failed or _Failed()
    header = failed.function.startswith("std::")
    caller = _user_of_header(report) if header else None
    caller = caller or (views.caller_of(report, frame[0]) if frame else views.blamed(report))
    where = f" in {culprit.label(caller[1])}" if caller else ""
    mutex = _MUTEX.match(failed.place) is not None and failed.function.lstrip("_").startswith("pthread_")
    if failed.checked and caller is None and failed.place:
        where = f" at {failed.place}"
    if failed.place and failed.function and not mutex and not header:
        where = f" in {failed.function}, {failed.place}"
    yield Finding(
        rule=RULE.id,
        title=_title(failed, where, mutex),
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=_explanation(failed, where, mutex),
        evidence=proof(
            report,
            (failed.where, "what was said"),
            ("native.assertion", "the assertion"),
            (views.frame_path(report, frame[0]) if frame else "", "the failing assert"),
            (
                (views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else ""),
                "the function that called" if mutex else "the function that asserts",
            ),
        ),
        remedies=_remedies(failed, mutex),
    )


def _text(report: Report) -> str:
    text = aborts.message(report)
    return text if "Assertion" in text or _GLIBC.match(text) else (report.native.assertion or "").strip()


def _failed(report: Report) -> _Failed | None:
    """What failed, as far as its text says; None without one."""
    text, where = _text(report), "native.abort_message"
    if not text and report.native.runtime in _STATED and report.native.runtime_message:
        text, where = report.native.runtime_message.strip(), "native.runtime_message"
        logged = _LOGGED.match(text)
        said = logged["said"] if logged else text
        checked = _CHECK.match(said)
        if checked:
            place = f"{file_name(logged['file'])}:{logged['line']}" if logged else ""
            stated = f"{checked['what'] or ''}{said[checked.end() :]}"
            return _Failed(" ".join(stated.split())[:300], "", place, where, checked=True)
        if logged or (report.native.runtime in ("Qt", "V8", "glog", "Abseil") and not _ASSERTION.match(text)):
            return None
    if not text:
        return None
    parts = _ASSERTION.match(text) or _GLIBC.match(text)
    if parts is None and report.native.runtime == "GLib" and (parts := _GLIB.match(text)) is not None:
        failed = _GLIB_FAILED.match(parts["said"])
        said = f"{failed['expression']}{failed['values'] or ''}" if failed else parts["said"]
    else:
        said = parts["expression"].strip() if parts else text
    if parts is None:
        return _Failed(expression=said, where=where)
    place = f"{file_name(parts['file'])}:{parts['line']}"
    function = parts["function"] or ""
    return _Failed(said, plain(function) if report.native.runtime == "libstdc++" else function, place, where)


def _user_of_header(report: Report) -> tuple[int, Frame] | None:
    """The program's function that called into a header of libstdc++, whose functions are part of the program."""
    return next(
        (
            (index, frame)
            for index, frame in enumerate(views.crashing_frames(report))
            if frame.function is not None
            and not culprit.machinery(frame)
            and not plain(frame.function).startswith(("std::", "__gnu_"))
        ),
        None,
    )


def _title(failed: _Failed, where: str, mutex: bool) -> str:
    said = f": {failed.expression}" if failed.expression else ""
    if mutex:
        return f"libc found a mutex damaged or misused{where}{said}"
    if failed.function.startswith("std::"):
        return f"Assertion failed{where}: {failed.function}() requires {failed.expression}"
    return f"{'CHECK' if failed.checked else 'Assertion'} failed{where}{said}"


def _explanation(failed: _Failed, where: str, mutex: bool) -> str:
    if mutex:
        return (
            f"libc ({failed.function}, {failed.place}) states that {failed.expression!r} always holds of a mutex; it"
            f" did not hold{where}. The mutex was destroyed or freed, overwritten, never initialised, or unlocked by a"
            " thread that did not hold it; libc only met what had been done before."
        )
    if failed.function.startswith("std::"):
        return (
            f"{failed.function}() of libstdc++ ({failed.place}) requires {failed.expression!r} of its caller{where};"
            " it did not hold. Such a call has no defined behaviour; -D_GLIBCXX_ASSERTIONS makes it abort instead."
        )
    return (
        f"The program stated that {failed.expression!r} always holds{where}; it did not hold."
        if failed.expression
        else f"An assertion failed{where}; its text is not in the core."
    ) + " It aborted itself on purpose; what made the condition false happened before."


def _remedies(failed: _Failed, mutex: bool) -> tuple[str, ...]:
    if mutex:
        return (
            "Find the object that holds the mutex: was it destroyed or freed while a thread still used it, or copied?",
            "Look for an unlock without a lock, twice, or in another thread; run under valgrind --tool=helgrind or"
            " -fsanitize=thread. PTHREAD_MUTEX_ERRORCHECK makes the wrong unlock fail with EPERM.",
            "If nobody does so, memory is overwritten: run under -fsanitize=address.",
        )
    return (
        (
            f"Print the values in {failed.expression!r} in the debugger at the asserting frame, and follow them"
            " to their writer."
            if failed.expression
            else "Install the debug symbols of the asserting module and look at the values in its frame."
        ),
        "If the condition depends on input, it must be checked and reported, not asserted.",
    )


RULE = Rule(id="assertion-failure", group="fault", specificity=92, check=check, documentation=__doc__ or "")
