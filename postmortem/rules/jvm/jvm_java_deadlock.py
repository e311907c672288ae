"""Deadlock of Java threads.

What it finds: threads that wait for one another in a circle, through monitors, java.util.concurrent locks, or the
initialization of classes.
Why it matters: none of them ever goes on, nor does what waits behind them; the process hangs until it is killed.
Evidence it needs: who wants which lock and who holds it, from the VM's monitors and the owners that locks note; who
initializes a class that is being initialized.
False alarms: none; every edge of the circle is read from memory.
Rivals excluded: a queue for a lock whose owner runs: every edge of the circle is read from memory; a wait that ends
by itself after its time.
What to do: take the locks in one order everywhere; break the cycle between static initializers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.jvm import INITIALIZATION
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from postmortem.model import Deadlock, DeadlockMember, Frame
    from postmortem.model.jvm import VirtualThread

_MOST = 8
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


def check(report: Report) -> Iterator[Finding]:
    """One finding for all circles."""
    found = report.jvm.deadlocks if report.jvm is not None else ()
    if not found:
        return
    first = found[0]
    timed = any(_timed(report, member) for member in first.threads)
    ended_otherwise = jvm_views.own_fault(report) or jvm_views.internal_error(report) is not None
    names = ", ".join(member.name for member in first.threads[:_MOST])
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    places = []
    evidence = []
    for number, deadlock in enumerate(found[:3]):
        for index, member in enumerate(deadlock.threads[:_MOST]):
            place = f"jvm.deadlocks[{number}].threads[{index}]"
            evidence += [
                (f"{place}.waiting_for", f"what {member.name} waits for"),
                (f"{place}.held_by", "and who runs it" if _initializes(member) else "and who holds it"),
            ]
    for member in first.threads[:_MOST]:
        path, words = _place(report, member)
        if path:
            places.append(f"{member.name} in {words}")
            evidence.append((path, f"where {member.name} stands"))
    yield Finding(
        rule=RULE.id,
        title=f"Deadlock of {len(first.threads)} Java threads: {names}{more}",
        severity="critical",
        confidence="possible" if timed else "certain",
        claim="cause",
        explanation=(
            _circle(first)
            + (" One waits with a time-out, so the circle may open by itself." if timed else " None of them can go on.")
            + (f" They stand so: {'; '.join(places)}." if places else "")
            + (f" There are {len(found)} such circles in all." if len(found) > 1 else "")
        ),
        evidence=proof(report, ("jvm.deadlocks[0].threads[0].name", "a thread of the circle"), *evidence),
        remedies=_remedies(first),
        specificity=BESIDE if ended_otherwise else None,
    )


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
    classes = [_initializes(member) for member in deadlock.threads]
    return (*(_CLASSES if any(classes) else ()), *(() if all(classes) else _LOCKS))


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
    return f"{who} waits for {member.waiting_for or 'a lock'}, which {member.held_by or 'another'} holds."


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
