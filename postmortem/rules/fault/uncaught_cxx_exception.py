"""C++ exception that nobody caught.

What it finds: std::terminate with an exception in flight; its type and what() are read from memory.
Why it matters: the text went to stderr and is lost; the core still has it.
Evidence it needs: std::terminate or its handler on the crashing stack, and an exception object.
False alarms: exceptions that are kept or being handled; they count only while terminate is on the stack. Which of
several ended the process is read from the thread's list of caught ones; where that is not in the core, or the
program called std::terminate itself, the newest is a guess, and the finding likely. A std::thread destroyed while
it is joinable ends the process too, whatever is in flight then. Where the thread was unwinding another exception when
this one was thrown, both are told: the other came first.
Rivals excluded: an exception that is being handled or kept; one of another thread: the thread's own list of caught
exceptions was read; an abort without terminate.
What to do: catch it where it can be handled, or remove the noexcept that stopped it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    from postmortem.model.report import CxxException

TERMINATE = (
    "std::terminate",
    "__cxxabiv1::__terminate",
    "__gnu_cxx::__verbose_terminate_handler",
    "__verbose_terminate_handler",
    "std::__terminate",
    "demangling_terminate_handler",
    # A stripped libstdc++ names only this: abort() above it means that it found a noexcept boundary.
    "__gxx_personality_v0",
    # Or, of GCC 13 and newer, this, which landing pads call.
    "__cxa_call_terminate",
)
_SEARCH = ("__cxa_throw", "__cxa_rethrow", "__cxa_call_", "__gxx_personality", "_Unwind_", "std::rethrow_exception")
_LANDED = ("__clang_call_terminate", "__cxa_call_terminate")
"""What a function that lets no exception out calls when one arrives: clang's, and GCC's since 13."""
_DESTRUCTOR = Lazy(r"(?:.*::)?~\w+")
_WRAPPED = Lazy(r"std::_Nested_exception<(.*)>")
_THREAD = ("std::thread::~thread", "std::thread::operator=")


_LIBC, _LIBSTDCXX = Lazy(r"libc(?:-2\.\d+)?\.so(?:\.6)?"), Lazy(r"libstdc\+\+\.so.*")
_UNKNOWN = "unknown"
"""The type where the name of the class lies in a file that is not at hand."""
_BY_HANDLER = "abort() called by a handler of the program that had caught this exception."
RIVALS = ("Another exception alive at that moment: which of them ended the process was not read from the thread.",)
"""What stays open where the finding is not certain."""


def terminating(report: Report) -> tuple[int, Frame] | None:
    """The outermost terminate frame of a process that aborted."""
    if not aborts.aborted(report):
        return None
    return views.last_named(report, lambda name: name in TERMINATE) or _nameless(report)


def _nameless(report: Report) -> tuple[int, Frame] | None:
    """The C++ run-time's outermost frame, where it has no names and what called abort() lies in it."""
    frames = views.crashing_frames(report)
    inner = next((i for i, f in enumerate(frames) if not _LIBC.fullmatch(file_name(f.module or ""))), len(frames))
    found = None
    for index, frame in enumerate(frames[inner:], inner):
        if frame.function is not None or not _LIBSTDCXX.fullmatch(file_name(frame.module or "")):
            break
        found = index, frame
    return found


def destroyed_thread(report: Report) -> tuple[int, Frame] | None:
    """The destructor (or assignment) of a std::thread that called terminate()."""
    return next(
        (item for item in _callers(report) if plain(item[1].function or "").startswith(_THREAD)),
        None,
    )


def by_search(report: Report) -> bool:
    """terminate() was called by a throw or by the search for a handler, not by the program."""
    return any(
        plain(frame.function).startswith(_SEARCH) if frame.function else culprit.skipped_module(frame.module or "")
        for _, frame in _callers(report)
    )


def _landed(report: Report) -> tuple[int, Frame] | None:
    """The function that lets no exception out, where its own code called terminate() for one that arrived."""
    called = next((item for item in _callers(report) if plain(item[1].function or "") in _LANDED), None)
    if called is None:
        return None
    above = next(iter(views.crashing_frames(report)[called[0] + 1 :]), None)
    if above is None or above.trust == "scan" or culprit.machinery(above):
        return None
    return views.caller_of(report, called[0])


def _callers(report: Report) -> Iterator[tuple[int, Frame]]:
    """terminate()'s outermost frame and the machinery that called it."""
    terminate = terminating(report)
    if terminate is None:
        return
    yield terminate
    for index, frame in enumerate(views.crashing_frames(report)[terminate[0] + 1 :], terminate[0] + 1):
        if not culprit.machinery(frame):
            return
        yield index, frame


def in_flight(report: Report) -> tuple[int, CxxException] | None:
    """Index and value of the exception that ended the process; None unless it is terminating because of one."""
    if terminating(report) is None or destroyed_thread(report) is not None:
        return None
    numbered = list(enumerate(report.native.exceptions))
    mine = [item for item in numbered if item[1].tid is not None and item[1].tid == report.crash.tid]
    if mine:
        return min(mine, key=lambda item: item[1].depth or 0)
    candidates = [item for item in numbered if item[1].tid is None]
    # terminate() takes the exception as caught once: its handler count is 1 then, 0 or stale elsewhere.
    handled = [item for item in candidates if item[1].handler_count > 0]
    if report.native.exceptions_attributed:
        # No thread holds them. The search for a handler would have caught it; what was handled before is kept only.
        candidates = [] if by_search(report) else [item for item in candidates if item[1].handler_count == 0]
        handled = []
    if not handled and views.first_named(report, lambda name: name == "__cxa_rethrow"):
        return None
    return next(iter(sorted(handled or candidates, key=lambda item: item[1].older)), None)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding.

    Long: most of it is the list of what proves it.
    """
    found = in_flight(report)
    terminate = terminating(report)
    if found is None or terminate is None:
        return
    index, exception = found
    thrower = views.first_named(report, lambda name: name in ("__cxa_throw", "__cxa_rethrow", "_Unwind_RaiseException"))
    origin = views.caller_of(report, max(terminate[0], thrower[0] if thrower else 0))
    landed = _landed(report)
    first = _first(report, exception)
    if landed is not None:
        where = f", stopped at {culprit.label(landed[1])}{', which is noexcept' if exception.uncaught == 0 else ''}"
    else:
        where = f" from {culprit.label(origin[1])}" if origin else ""
    if exception.uncaught:
        where += f", thrown while {_named(report, first)} was unwound"
    searched = by_search(report)
    inner, depth = _innermost(report, exception)
    held = (
        f" (in {'an exception' if depth == 1 else f'{depth} exceptions, the outermost'} of type"
        f" {_own_type(exception)}{_short(exception)})"
        if depth
        else ""
    )
    cause = report.native.exceptions[inner]
    others = _as_likely(report, exception)
    list_of_it = f"native.exceptions[{index}]"
    yield Finding(
        rule=RULE.id,
        title=f"Uncaught C++ exception {_own_type(cause)}{_short(cause)}{held}{_or(report, others)}{where}",
        severity="critical",
        confidence="certain"
        if exception.tid is not None and (searched or landed) and terminate[1].function is not None
        else "likely",
        claim="cause",
        rivals=RIVALS if terminate[1].function is not None else (_BY_HANDLER,),
        explanation=(
            f"std::terminate ended the process while an exception of {_type(exception)}{_said(exception)} was in"
            f" flight.{_how(report, exception, searched)}{_text(exception)}{_both(report, others)}"
            + (
                " It holds the exception that it was thrown for (std::throw_with_nested); the innermost of them is a"
                f" {_own_type(cause)}{_said(cause)}."
                if depth
                else ""
            )
        ),
        evidence=proof(
            report,
            (f"{list_of_it}.type", "type of the exception"),
            (f"{list_of_it}.what", "its text"),
            (f"{list_of_it}.base_text", "the text that its base class holds"),
            (f"{list_of_it}.address", "the exception object"),
            (f"{list_of_it}.tid", "the thread whose list of exceptions it heads"),
            (f"{list_of_it}.uncaught" if exception.uncaught else "", "how many others the thread was unwinding"),
            (f"native.exceptions[{first}].type" if first is not None else "", "type of the one that came first"),
            (f"native.exceptions[{first}].what" if first is not None else "", "its text"),
            *((f"native.exceptions[{other}].type", "type of one that may have ended it as well") for other in others),
            (f"native.exceptions[{inner}].type" if depth else "", "type of the innermost exception that it holds"),
            (f"native.exceptions[{inner}].what" if depth else "", "its text"),
            (
                views.frame_path(report, terminate[0], "function" if terminate[1].function else "module"),
                "the end of the process",
            ),
            (
                (views.frame_path(report, origin[0], "function" if origin[1].function else "pc") if origin else ""),
                "lets no exception out" if landed else "where it was thrown" if searched else "what called terminate",
            ),
        ),
        remedies=_remedies(report, exception, landed),
    )


def _remedies(report: Report, exception: CxxException, landed: tuple[int, Frame] | None) -> tuple[str, ...]:
    if exception.uncaught:
        return (
            "Look first at why the exception was thrown that was being unwound: the destructors ran for it.",
            f"Let no exception out of a destructor: catch {exception.type} in it, or do what can fail in a function"
            " that is called before the object goes out of scope.",
        )
    if landed is not None:
        return (
            f"Catch {exception.type} in {culprit.label(landed[1])}, or remove its noexcept and catch it further out.",
        )
    return (
        f"Catch {_short_type(exception, 'it')} where it can be handled; at the latest in main() and in each thread's"
        " entry function.",
        "If a handler exists, look for a noexcept function or a destructor between it and the throw.",
    )


def _as_likely(report: Report, exception: CxxException) -> tuple[int, ...]:
    """The other exceptions that may have ended the process, where the thread's list of caught ones does not tell."""
    if exception.tid is not None or not exception.unwound:
        return ()
    return tuple(
        index
        for index, item in enumerate(report.native.exceptions)
        if item.unwound and item.tid is None and item is not exception
    )


def _or(report: Report, others: tuple[int, ...]) -> str:
    return "".join(f" or {_named(report, index)}" for index in others)


def _both(report: Report, others: tuple[int, ...]) -> str:
    if not others:
        return ""
    names = " and ".join(_named(report, index) for index in others)
    return (
        f" As likely it was {names}: a handler further out was found for each of them, and none is at work on them."
        " Where one was thrown by a destructor that ran for the other, that ended the process, whatever handlers there"
        " are."
    )


def _first(report: Report, exception: CxxException) -> int | None:
    """Index of the exception that the thread was unwinding when `exception` was thrown, where it is the only one."""
    if exception.uncaught != 1:
        return None
    every = enumerate(report.native.exceptions)
    found = [i for i, item in every if item.unwound and item.resumed and item is not exception]
    return found[0] if len(found) == 1 else None


def _named(report: Report, first: int | None) -> str:
    """ "std::invalid_argument: row 2: duplicate key"."""
    if first is None:
        return "another exception"
    item = report.native.exceptions[first]
    return f"{_own_type(item)}{_short(item)}"


def _innermost(report: Report, exception: CxxException) -> tuple[int, int]:
    """Index of the exception at the end of the chain of nested ones, and how many hold it."""
    found = report.native.exceptions
    index, depth = next(i for i, item in enumerate(found) if item is exception), 0
    while depth < len(found):
        following = next((i for i, item in enumerate(found) if item.nested_in == found[index].address), None)
        if following is None:
            break
        index, depth = following, depth + 1
    return index, depth


def _type(exception: CxxException) -> str:
    return "a type whose name is not at hand" if exception.type == _UNKNOWN else f"type {exception.type}"


def _short_type(exception: CxxException, otherwise: str) -> str:
    return otherwise if exception.type == _UNKNOWN else exception.type


def _own_type(exception: CxxException) -> str:
    """The type that the program threw: std::throw_with_nested wraps it."""
    wrapped = _WRAPPED.fullmatch(exception.type)
    if exception.type == _UNKNOWN:
        return f"of {_type(exception)}"
    return wrapped[1] if wrapped else exception.type


def _how(report: Report, exception: CxxException, searched: bool) -> str:
    """How terminate() came to be called, as far as it shows."""
    if exception.uncaught:
        return _while_unwinding(report, exception)
    landed = _landed(report)
    if landed is not None and exception.uncaught == 0:
        return (
            f" It had reached {culprit.label(landed[1])}, whose own code called std::terminate: that function lets no"
            " exception out (noexcept, which destructors are by themselves), so handlers further out did not count."
        )
    if landed is not None:
        return (
            f" It had reached {culprit.label(landed[1])}, whose own code called std::terminate: that function lets no"
            " exception out, or it was running a destructor for another exception."
        )
    if not searched:
        return (
            " The program called std::terminate itself: from a handler, from a noexcept function that the exception"
            " was about to leave, or by destroying a std::thread that was still joinable."
        )
    if views.first_named(report, lambda name: name.startswith(("__gxx_personality", "__cxa_call_terminate"))):
        return " The search for a handler ended at a function that lets no exception out (noexcept, or a destructor)."
    if exception.uncaught == 0:
        return " No handler was found up to the bottom of the stack, or a noexcept function stood in between."
    return (
        " The search for a handler found none: there is none up to the bottom of the stack, or a noexcept function, or"
        " a destructor that ran for another exception, stood in between."
    )


def _while_unwinding(report: Report, exception: CxxException) -> str:
    frames = views.crashing_frames(report)
    thrower = views.first_named(report, lambda name: name in ("__cxa_throw", "__cxa_rethrow", "_Unwind_RaiseException"))
    destructor = next(
        (
            frame
            for frame in frames[thrower[0] + 1 if thrower else 0 :]
            if frame.trust != "scan" and frame.function and _DESTRUCTOR.fullmatch(plain(frame.function))
        ),
        None,
    )
    first = _first(report, exception)
    others = "another exception" if exception.uncaught == 1 else f"{exception.uncaught} other exceptions"
    which = ""
    if first is not None:
        item = report.native.exceptions[first]
        which = f", a {item.type}{_said(item).rstrip(',')}"
    ran = f" ({culprit.label(destructor)} is on the stack)" if destructor is not None and thrower is not None else ""
    return (
        f" It was thrown while the thread was unwinding {others}{which}: by code that runs then, which is a destructor"
        f"{ran} or the copy of an exception for its handler. What leaves that code ends the process, whatever handlers"
        " there are further out and also where the destructor is noexcept(false)."
    )


def _short(exception: CxxException) -> str:
    if exception.what:
        return f": {exception.what}"
    return f" (text of its base class: {exception.base_text})" if exception.base_text else ""


def _said(exception: CxxException) -> str:
    return f", whose what() is {exception.what!r}," if exception.what else ""


def _text(exception: CxxException) -> str:
    if exception.what:
        return " The text itself went to stderr; it is read here from the exception object in memory."
    if exception.base_text:
        return (
            f" Its base class holds the text {exception.base_text!r}; what() of {_short_type(exception, 'its class')}"
            " is its own and may have said something else on stderr."
        )
    return ""


RULE = Rule(id="uncaught-cxx-exception", group="fault", specificity=88, check=check, documentation=__doc__ or "")
