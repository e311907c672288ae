"""Deadlock of Java threads.

What it finds: threads that wait for one another in a circle, through monitors, java.util.concurrent locks, the end of
a thread (Thread.join), the result of a task that another runs, the initialization of classes, or mutexes of native
code. A thread that wants to write while it holds the same lock to read waits for itself.
Why it matters: none of them ever goes on, nor does what waits behind them; the process hangs until it is killed.
Evidence it needs: who wants which lock and who holds it, from the VM's monitors and the owners that locks note; who
initializes a class that is being initialized; whose Thread object is waited on, below Thread.join().
False alarms: a wait with a time-out ends by itself: possible only. Every edge of a circle is read from memory. What no
edge shows, an interrupt or a time-out of its own making that a further thread would bring, is not excluded by
memory: a circle through Thread.wait() without join() on the stack, or through a task, is likely.
Rivals excluded: a queue for a lock whose owner runs: every edge of the circle is read from memory; a wait that ends
by itself after its time.
What to do: take the locks in one order everywhere; break the cycle between static initializers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.jvm import INITIALIZATION
from postmortem.model.queries import culprit, locks
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from postmortem.model import Deadlock, DeadlockMember, Frame, Thread
    from postmortem.model.jvm import VirtualThread

_MOST = 8
_HOLDS = {"initialization": "and who runs it", "join": "and whose end that is", "task": "and who runs it"}
_NEEDS = {
    "join": "that is for the end of {}",
    "task": "a task that {} runs",
    "read-lock": "which {} holds to read",
    "initialization": "which {} has begun",
}
_JOINS = ("java.lang.Thread.join", "java.lang.VirtualThread.joinNanos")
_READ = (
    "Let go of the read lock before taking the write lock, and look again at what was read: ReentrantReadWriteLock"
    " can't upgrade. StampedLock.tryConvertToWriteLock() can.",
)
_JOIN = (
    "Do not wait for a thread or a task while a lock is held that it needs, nor in a shutdown hook for a thread that"
    " may call System.exit().",
)
BESIDE = 37
"""Specificity where something else ended the process."""
_LOCKS = (
    "Take these locks in one order in all the places named, or hold only one of them at a time.",
    "Where the order can't be fixed, use tryLock with a time-out and give up what is held.",
    "Call nothing foreign (listeners, overridable methods) while a lock is held.",
)
_CLASSES = (
    "Break the cycle between the static initializers of these classes: let one of them do without the other, or move"
    " what both need into a third class.",
    "Where the cycle can't be broken, create what needs it on first use (a holder class) instead of in a static field.",
    "Until then, initialize these classes from one thread, in one order, before others use them.",
)


RIVALS = ("An edge of the circle that is told by the threads' stacks, not by the lock's memory.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """One finding for all circles."""
    found = report.jvm.deadlocks if report.jvm is not None else ()
    if not found:
        yield from _with_native(report)
        return
    first = found[0]
    timed = any(_timed(report, member) for member in first.threads)
    ended_otherwise = jvm_views.own_fault(report) or jvm_views.internal_error(report) is not None
    names = ", ".join(member.name for member in first.threads[:_MOST])
    more = _and_more(len(found) - 1)
    places = []
    evidence = []
    for number, deadlock in enumerate(found[:3]):
        for index, member in enumerate(deadlock.threads[:_MOST]):
            place = f"jvm.deadlocks[{number}].threads[{index}]"
            evidence += [
                (f"{place}.waiting_for", f"what {member.name} waits for"),
                (f"{place}.held_by", _HOLDS.get(member.kind or "lock", "and who holds it")),
            ]
    for member in first.threads[:_MOST]:
        path, words = _place(report, member)
        if path:
            places.append(f"{member.name} in {words}")
            evidence.append((path, f"where {member.name} stands"))
    yield Finding(
        rule=RULE.id,
        title=_title(first, names, more),
        severity="critical",
        confidence="possible" if timed else "certain" if all(_sure(report, m) for m in first.threads) else "likely",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            _circle(first)
            + _outlook(first, timed)
            + (f" Where each waits: {'; '.join(places)}." if places else "")
            + (f" There are {len(found)} such circles in all." if len(found) > 1 else "")
        ),
        evidence=proof(report, ("jvm.deadlocks[0].threads[0].name", "a thread of the circle"), *evidence),
        remedies=_remedies(first),
        specificity=BESIDE if ended_otherwise else None,
    )


def _and_more(count: int) -> str:
    return "" if count < 1 else "; and another deadlock" if count == 1 else f"; and {count} more deadlocks"


def _title(deadlock: Deadlock, names: str, more: str) -> str:
    member, *others = deadlock.threads
    if others:
        return f"Deadlock of {len(deadlock.threads)} Java threads: {names}{more}"
    what = "to write what it holds to read" if member.kind == "read-lock" else "for a lock that it holds"
    return f"{member.name} waits for itself: {what}{more}"


def _outlook(deadlock: Deadlock, timed: bool) -> str:
    if timed:
        return " One waits with a time-out, so the circle may open by itself."
    return " None of them can go on." if len(deadlock.threads) > 1 else " It can't go on."


def _sure(report: Report, member: DeadlockMember) -> bool:
    """No other reading: who waits on a Thread object may do so without join(), and a task may be cancelled."""
    if member.kind == "task":
        return False
    if member.kind != "join":
        return True
    virtual = _virtual(report, member)
    thread = next((thread for thread in report.threads if thread.tid == member.tid), None)
    frames = virtual[1].frames if virtual is not None else thread.frames if thread is not None else ()
    return any(frame.function in _JOINS for frame in frames)


def _with_native(report: Report) -> Iterator[Finding]:
    """Circles through a mutex of native code and through Java; the first one is told."""
    circles = locks.cycles_with_java(report)
    if not circles:
        return
    first = circles[0]
    told = []
    evidence = []
    timed = False
    for index, after in zip(first, (*first[1:], first[0]), strict=True):
        thread, holder = report.threads[index], _thread_name(report.threads[after])
        java, wait = thread.java, thread.wait
        path, words = _own_frame(thread.frames, f"threads[{index}]")
        place = f", in {words}" if words else ""
        who = f"{_thread_name(thread)} (thread {thread.tid}{place})"
        if wait is not None and wait.owner and wait.kind in locks.LOCKS:
            at = f" at {wait.address:#x}" if wait.address is not None else ""
            code = culprit.first(thread.frames)
            by = f", called by {culprit.label(code[1])}" if code is not None else ""
            told.append(f"{who} waits for the {wait.kind} of native code{at}{by}, which {holder} holds.")
            evidence.append((f"threads[{index}].wait.owner", "who holds it, from the mutex itself"))
            timed |= any("timed" in (f.function or "") or "clocklock" in (f.function or "") for f in thread.frames)
        elif java is not None:
            need = _NEEDS.get(java.wait_kind or "lock", "which {} holds").format(holder)
            told.append(f"{who} waits for {java.blocked_on or 'a lock'}, {need}.")
            evidence.append((f"threads[{index}].java.blocked_on", f"what {_thread_name(thread)} waits for"))
            evidence.append((f"threads[{index}].java.waits_for_tid", "the thread that it needs for that"))
            timed |= (java.state or "").startswith("TIMED")
        if path:
            evidence.append((path, f"where {_thread_name(thread)} stands"))
    names = ", ".join(_thread_name(report.threads[index]) for index in first[:_MOST])
    more = _and_more(len(circles) - 1)
    ended_otherwise = jvm_views.own_fault(report) or jvm_views.internal_error(report) is not None
    yield Finding(
        rule=RULE.id,
        title=f"Deadlock of {len(first)} threads across Java and a native mutex: {names}{more}",
        severity="critical",
        confidence="possible" if timed else "certain",
        claim="cause",
        explanation=" ".join(told)
        + (" One waits with a time-out." if timed else " None of them can go on.")
        + " jstack sees the Java half only and reports no deadlock.",
        evidence=proof(report, *evidence),
        remedies=(
            "Take the native mutex and the Java lock in one order everywhere: usually by never calling Java, or waiting"
            " for a Java lock, while the native library's mutex is held.",
            "Let the native method copy what it needs, unlock, and only then return or call back.",
            *_LOCKS[1:],
        ),
        specificity=BESIDE if ended_otherwise else None,
    )


def _thread_name(thread: Thread) -> str:
    return (thread.java.name if thread.java is not None else None) or thread.name or f"thread {thread.tid}"


def _virtual(report: Report, member: DeadlockMember) -> tuple[int, VirtualThread] | None:
    """(index, what is known) of a member that is a virtual thread without a carrier."""
    if report.jvm is None or member.tid is not None or member.java_tid is None:
        return None
    found = enumerate(report.jvm.virtual_threads)
    return next(((number, thread) for number, thread in found if thread.java_tid == member.java_tid), None)


def _timed(report: Report, member: DeadlockMember) -> bool:
    """The thread waits with a time-out."""
    virtual = _virtual(report, member)
    if virtual is not None:
        return (virtual[1].state or "").startswith("TIMED")
    thread = next((thread for thread in report.threads if thread.tid == member.tid), None)
    return thread is not None and thread.java is not None and (thread.java.state or "").startswith("TIMED")


def _initializes(member: DeadlockMember) -> bool:
    return (member.waiting_for or "").startswith(INITIALIZATION)


def _remedies(deadlock: Deadlock) -> tuple[str, ...]:
    """For classes, for locks, or for both where both are in the circle."""
    kinds = {member.kind or ("initialization" if _initializes(member) else "lock") for member in deadlock.threads}
    return (
        *(_CLASSES if "initialization" in kinds else ()),
        *(_READ if "read-lock" in kinds else ()),
        *(_JOIN if kinds & {"join", "task"} else ()),
        *(_LOCKS if "lock" in kinds else ()),
    )


def _circle(deadlock: Deadlock) -> str:
    return " ".join(_edge(member) for member in deadlock.threads[:_MOST])


def _edge(member: DeadlockMember) -> str:
    who = member.name
    if member.tid is not None:
        carried = "" if member.java_tid is None else f", carrying virtual thread #{member.java_tid}"
        who += f" (thread {member.tid}{carried})"
    elif member.java_tid is not None and "#" not in who:
        who += f" (virtual thread #{member.java_tid})"
    if _initializes(member):
        return f"{who} waits for the {member.waiting_for}, which {member.held_by or 'another'} has begun."
    need = _NEEDS.get(member.kind or "lock", "which {} holds").format(member.held_by or "another")
    return f"{who} waits for {member.waiting_for or 'a lock'}, {need}."


def _place(report: Report, member: DeadlockMember) -> tuple[str, str]:
    """(path, words) of the first Java frame of a thread that is not the lock's own."""
    virtual = _virtual(report, member)
    if virtual is not None:
        return _own_frame(virtual[1].frames, f"jvm.virtual_threads[{virtual[0]}]")
    for number, thread in enumerate(report.threads):
        if thread.tid == member.tid:
            return _own_frame(thread.frames, f"threads[{number}]")
    return "", ""


def _own_frame(frames: Sequence[Frame], where: str) -> tuple[str, str]:
    for index, frame in enumerate(frames):
        own = frame.function is None or frame.function.startswith(("java.", "jdk.", "sun."))
        if jvm_frames.is_java(frame) and not own:
            return f"{where}.frames[{index}].function", jvm_frames.java_place(frame)
    return "", ""


RULE = Rule(id="jvm-java-deadlock", group="jvm", specificity=92, check=check, documentation=__doc__ or "")
