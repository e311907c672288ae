"""Threads of a JVM that were at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.queries import culprit, locks
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import Lazy

if TYPE_CHECKING:
    from postmortem.model import Report, Thread

_SHOWN = 3
_IN_JAVA, _IN_NATIVE, _IN_VM = "_thread_in_Java", "_thread_in_native", "_thread_in_vm"
_DEEP = 256
"""Calls of a recursion from which on it is told."""
_UNWINDS = Lazy(
    r"_rethrow_Java|ExceptionBlob|(?:forward|unwind)_exception\w*|(?:Interpreter|Opto|Shared)Runtime::\w*exception\w*"
    r"|Runtime1::\w*exception\w*|handle_exception\w*|unwind_\w+|rethrow_exception\w*"
)
"""The VM's ways from a method that an exception leaves to its caller (share/runtime/sharedRuntime.cpp,
opto/runtime.cpp, the stubs of cpu/x86)."""


def at_work(report: Report) -> tuple[tuple[int, int], ...]:
    """(index of the thread, of the frame to name) of those in Java code, or in native code that Java called and not in
    the kernel."""
    runs = frozenset(locks.running(report))
    found = []
    for index, thread in enumerate(report.threads):
        state = thread.java.thread_state if thread.java is not None else None
        if index not in runs or not (state in (_IN_JAVA, _IN_NATIVE) or (state == _IN_VM and _unwinds(thread))):
            continue
        at = _frame(thread)
        if at is not None:
            found.append((index, at))
    return tuple(found)


def doing(report: Report) -> str:
    """ "The only thread at work was pathfinder (4711), in game.World.follow()"; "" where no Java thread was."""
    found = at_work(report)
    texts = [
        f"{locks.name(report.threads[index])} in {culprit.label(report.threads[index].frames[at])}"
        f"{_depth(report.threads[index])}"
        for index, at in found[:_SHOWN]
    ]
    if not texts:
        return ""
    if len(found) == 1:
        return f"The only thread at work in Java code, or in native code that Java called, was {texts[0]}"
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{len(found)} threads were at work in Java code, or in native code that Java called: " + (
        "; ".join(texts) + more
    )


def _depth(thread: Thread) -> str:
    """ ", 4,320 calls deep in its recursion, which an exception unwinds (…)"; "" where it is not deep in one."""
    cycle = max(thread.cycles, key=lambda found: found.period * found.count, default=None)
    if cycle is None or cycle.count < _DEEP or not thread.frames[cycle.start].kind.startswith("java"):
        return ""
    words = f", {cycle.count:,} calls deep in its recursion"
    if not _unwinds(thread):
        return words
    return f"{words}, which an exception unwinds (a StackOverflowError that is caught and provoked again looks so)"


def _unwinds(thread: Thread) -> bool:
    """An exception is on its way from a Java method to its caller."""
    for frame in thread.frames:
        if frame.kind.startswith("java"):
            return False
        if frame.function is not None and frame.trust != "scan" and _UNWINDS.fullmatch(plain(frame.function)):
            return True
    return False


def evidence(report: Report) -> tuple[tuple[str, str], ...]:
    """(path, words) of where they were."""
    return tuple(
        (f"threads[{index}].frames[{at}].function", f"where {locks.name(report.threads[index])} was at work")
        for index, at in at_work(report)[:_SHOWN]
    )


def _frame(thread: Thread) -> int | None:
    """The first frame of the program with a name; of the JDK where there is no other."""
    named = [n for n, f in enumerate(thread.frames) if f.function and f.trust != "scan"]
    java = [n for n in named if thread.frames[n].kind.startswith("java")]
    if not java:
        return None
    own = (n for n in named if n <= java[-1] and not culprit.machinery(thread.frames[n]) and _own(thread, n))
    return next(own, java[0])


def _own(thread: Thread, at: int) -> bool:
    frame = thread.frames[at]
    if frame.kind == "stub" or (frame.module or "").endswith("libjvm.so"):
        return False
    return not (frame.function or "").startswith(("java.", "javax.", "jdk.", "sun.", "com.sun."))
