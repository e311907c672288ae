"""CPython's C API used without the GIL.

What it finds: a function of the interpreter read the current thread state, and there is none.
Why it matters: the interpreter's function is innocent: its caller released the GIL, or never took it.
Evidence it needs: a null pointer read from _PyRuntime, or the interpreter's own words that the GIL is not held.
False alarms: a call before the interpreter was initialized or after it was finalized finds no thread state either.
Rivals excluded: none; the confidence says so.
What to do: hold the GIL around the call: PyGILState_Ensure, or outside of Py_BEGIN_ALLOW_THREADS.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATE = Lazy(r"_?PyThreadState_(?:GET|Get)|_?PyInterpreterState_(?:GET|Get)|_Py_EnsureFuncTstateNotNULL")
_INTERPRETER = Lazy(r"libpython[\d.]+[^/]*\.so.*|python[\d.]*")
_WORDS = Lazy(r"GIL (?:held|is released)|no thread state|current thread state is NULL", re.IGNORECASE)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    said = report.native.runtime_message if report.native.runtime == "Python" else None
    told = said is not None and _WORDS.search(said) is not None
    if not told and not _reads_no_state(report):
        return
    frames = views.crashing_frames(report)
    caller = next(((i, f) for i, f in enumerate(frames) if not _is_interpreter(f) and not culprit.machinery(f)), None)
    called = next((f for f in reversed(frames[: caller[0]]) if f.function), None) if caller else None
    function = f" ({plain(called.function or '')})" if called is not None else ""
    by = f" by {culprit.label(caller[1])}" if caller else ""
    yield Finding(
        rule=RULE.id,
        title=f"Python's C API{function} was called without the GIL{by}: there is no current thread state",
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"The interpreter's function{function} needs the state of the thread that holds the GIL, and found none"
            + (f" ({said!r})" if told else "")
            + f". It was called{by}, which does not hold the GIL: between Py_BEGIN_ALLOW_THREADS and"
            " Py_END_ALLOW_THREADS, or on a thread that Python did not start."
        ),
        rivals=("The interpreter was not initialized yet, or already finalized.",),
        evidence=proof(
            report,
            ("crash.pointer_source.symbol", "the variable that the null pointer was read from"),
            ("crash.fault_address" if not told else "", "the address that was touched"),
            ("native.runtime_message" if told else "", "what the interpreter said"),
            (views.frame_path(report, 0), "the function"),
            (views.frame_path(report, caller[0]) if caller else "", "its caller outside of the interpreter"),
        ),
        remedies=(
            f"Move the call{by.replace(' by', ' in')} out of Py_BEGIN_ALLOW_THREADS … Py_END_ALLOW_THREADS.",
            "On a thread of your own hold the GIL for every use of the API: PyGILState_Ensure(), PyGILState_Release().",
            "A debug build of Python checks this in every function and names it.",
        ),
    )


def _reads_no_state(report: Report) -> bool:
    address = views.fault_address(report)
    frames = views.crashing_frames(report)
    if address is None or address >= views.NEAR_NULL or not frames or not views.signal_is(report, views.SIGSEGV):
        return False
    if not views.raised_by_cpu(report) or not _is_interpreter(frames[0]):
        return False
    source = report.crash.pointer_source
    if source is not None:
        return source.symbol in ("_PyRuntime", "_Py_tss_tstate")
    return any(_STATE.fullmatch(plain(frame.function or "")) for frame in frames[:3])


def _is_interpreter(frame: Frame) -> bool:
    return frame.module is not None and _INTERPRETER.fullmatch(file_name(frame.module)) is not None


RULE = Rule(id="python-without-gil", group="fault", specificity=80, check=check, documentation=__doc__ or "")
