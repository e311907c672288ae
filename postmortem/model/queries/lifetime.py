"""Was the object alive that a bad pointer came from? Dead stack, freed blocks, static objects before and after their
time.

A null pointer is the value that a member had; in an object that is not alive it has no meaning, so that the pointer is
what was seen, and the object's end (or that it had not begun) is the explanation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.names import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from postmortem.model import Frame, Report, Thread
    from postmortem.model.process import PointerHolder

_INITIALIZERS = re.compile(
    r"_GLOBAL__(?:sub_)?I_.*|__static_initialization_and_destruction_\d+.*|__cxx_global_(?:var|array)_init.*"
)
_EXIT = re.compile(r"_*(?:GI_)?exit|__run_exit_handlers|__cxa_finalize|_dl_fini|__funcs_on_exit|call_fini")
_DESTRUCTOR = re.compile(r"(?:.*::)?~\w+")


class Held(NamedTuple):
    """A holder and its path."""

    where: str
    holder: PointerHolder


def held(report: Report, place: str) -> Held | None:
    """The first holder of a place: the one that the pointer was read from, or what an argument of the very function
    that faulted leads to."""
    for index, holder in enumerate(report.crash.holders):
        if holder.place == place and (holder.argument is None or _is_of_fault(report, holder)):
            return Held(f"crash.holders[{index}]", holder)
    return None


def _is_of_fault(report: Report, holder: PointerHolder) -> bool:
    match = re.match(r"threads\[0\]\.frames\[(\d+)\]", holder.argument or "")
    frames = views.crashing_frames(report)
    return match is not None and int(match[1]) < len(frames) and frames[int(match[1])].pc == report.crash.pc


class Period(NamedTuple):
    """A time at which static objects are not all alive: the frame that shows it, its path, the thread's index. at:
    initialization, exit. destructor: path and frame of one of the program's that ran."""

    at: str
    where: str
    thread: int
    destructor: tuple[str, Frame] | None = None


def is_period(threads: Sequence[Thread]) -> bool:
    """Whether any of these may be making or destroying static objects, by the functions on its stack."""
    return any(
        frame.function is not None
        and (_EXIT.fullmatch(plain(frame.function)) or _INITIALIZERS.fullmatch(frame.function)) is not None
        for thread in threads
        for frame in thread.frames
    )


def period(report: Report) -> Period | None:
    """Static objects were being made, by the crashing thread, or destroyed, by any."""
    for thread, index, frame in _named(report):
        name = plain(frame.function or "")
        if report.threads[thread].crashed and _INITIALIZERS.fullmatch(frame.function or ""):
            return Period("initialization", f"threads[{thread}].frames[{index}].function", thread)
        if _EXIT.fullmatch(name):
            inner = report.threads[thread].frames[:index]
            found = [
                (f"threads[{thread}].frames[{at}].function", one)
                for at, one in enumerate(inner)
                if _DESTRUCTOR.fullmatch(plain(one.function or "")) and not culprit.installed_source(one)
            ]
            where = f"threads[{thread}].frames[{index}].function"
            return Period("exit", where, thread, found[-1] if found else None)
    return None


def _named(report: Report) -> Iterator[tuple[int, int, Frame]]:
    for thread, one in enumerate(report.threads):
        for index, frame in enumerate(one.frames):
            if frame.function is not None and frame.trust != "scan":
                yield thread, index, frame


def untimely(report: Report) -> tuple[Held, Period] | None:
    """A static object that was used while static objects were being made, and is unset, or being destroyed."""
    found = held(report, "static")
    time = period(report) if found is not None else None
    if found is None or time is None:
        return None
    holder = found.holder
    if time.at == "initialization":
        # One whose destructor is registered has been made.
        new = holder.unset and (holder.size or 0) > _WORD and holder.destroyed is None
        return (found, time) if new else None
    return (found, time) if holder.destroyed or (holder.destroyed is None and time.destructor is not None) else None


_WORD = 8
"""A static object no larger may be a plain pointer, which nothing constructs."""


def doubt(report: Report) -> str | None:
    """A sentence on why a null pointer need not be what its member held in life; None where nothing tells so."""
    broken = report.crash.broken_frame
    if broken is not None:
        return (
            f"The frame of {plain(broken.function)}() has no return address ({broken.value:#x} is no code): it is not"
            " whole, so its variables need not be what the function put there."
        )
    if held(report, "dead stack") is not None:
        return "The pointer was read from a part of a stack that no function uses any more."
    if (found := held(report, "freed")) is not None:
        return f"The pointer was read from memory that {found.holder.allocator}'s allocator has as free."
    if (static := untimely(report)) is not None:
        when = "which is all zeros still" if static[1].at == "initialization" else "while exit() destroyed such objects"
        return f"The pointer was read from the static object {static[0].holder.symbol}, {when}."
    return None
