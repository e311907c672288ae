"""Threads of a JVM that were at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.queries import culprit, locks

if TYPE_CHECKING:
    from postmortem.model import Report, Thread

_SHOWN = 3
_IN_JAVA, _IN_NATIVE = "_thread_in_Java", "_thread_in_native"


def at_work(report: Report) -> tuple[tuple[int, int], ...]:
    """(index of the thread, of the frame to name) of those in Java code, or in native code that Java called and not in
    the kernel."""
    runs = frozenset(locks.running(report))
    found = []
    for index, thread in enumerate(report.threads):
        state = thread.java.thread_state if thread.java is not None else None
        if index not in runs or state not in (_IN_JAVA, _IN_NATIVE):
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
