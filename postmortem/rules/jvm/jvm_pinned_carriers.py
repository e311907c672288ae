"""Carriers that are all held by virtual threads which wait.

What it finds: every carrier of virtual threads is blocked by the one that it carries (pinned), while others are ready
to run.
Why it matters: nothing is left to run them: if what the pinned ones wait for is to come from one of these, none goes
on.
Evidence it needs: the carriers' stacks with the JDK's function for a park that could not leave its carrier, and the
states of the virtual threads that have none.
False alarms: a wait may end soon, as of I/O; what is ready may have become so just now.
What to do: up to JDK 23 synchronized pins (a ReentrantLock does not); native frames on the stack do in every version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import _waits as waits
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Thread

_PINNED = "java.lang.VirtualThread.parkOnCarrierThread"
_READY = ("STARTED", "RUNNABLE", "UNPARKED", "UNBLOCKED", "YIELDED")
"""java.lang.VirtualThread's states of one that only wants a carrier."""
_LAST_WITH_MONITORS = 23
_MOST = 4


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    jvm = report.jvm
    if jvm is None or not waits.standing(report):
        return
    ready = {state: jvm.virtual_thread_states[state] for state in _READY if jvm.virtual_thread_states.get(state)}
    pinned = [(n, t, at) for n, t in enumerate(report.threads) if (at := _pinned(t)) is not None]
    if not pinned or not ready:
        return
    pools = {_pool(waits.name(thread)) for _, thread, _ in pinned}
    held = {thread.tid for _, thread, _ in pinned}
    if any(_pool(waits.name(thread)) in pools and thread.tid not in held for thread in report.threads):
        return  # a carrier is free, or at work
    count, number = sum(ready.values()), len(pinned)
    names = ", ".join(_carried(thread) for _, thread, _ in pinned[:_MOST])
    places = "; ".join(dict.fromkeys(waits.place(thread) for _, thread, _ in pinned[:_MOST]))
    major = jvm_views.major(report)
    below = [(n, found) for n, thread, at in pinned if (found := _native_below(thread, at)) is not None]
    native = len(below) == number  # no synchronized is needed to explain them
    monitors = major is not None and major <= _LAST_WITH_MONITORS and not native
    libraries = ", ".join(dict.fromkeys(file_name(report.threads[n].frames[at].module or "") for n, at in below))
    natives = f" below native code of {libraries}" if native else ""
    yield Finding(
        rule=RULE.id,
        title=(
            f"{'The only carrier' if number == 1 else f'All {number} carriers'} of virtual threads"
            f" {'is' if number == 1 else 'are'} pinned by {names}, in {places}{natives}; {count} more"
            f" {'waits' if count == 1 else 'wait'} for a carrier"
        )[:300],
        severity="high",
        confidence="likely",
        claim="observation",
        rivals=("What the pinned ones wait for comes from elsewhere, and is merely slow.",),
        explanation=(
            f"{names} {'waits' if number == 1 else 'wait'} in {places} and could not leave"
            f" {'its carrier' if number == 1 else 'their carriers'}:"
            + (
                " in this version one that is inside synchronized, or has native frames on its stack, keeps it."
                if monitors
                else " one with native frames on its stack keeps it, whatever the version"
                f": {culprit.label(report.threads[below[0][0]].frames[below[0][1]])} called back into Java."
                if native
                else " one with native frames on its stack keeps it."
            )
            + f" No carrier is left, and {count} virtual threads ({', '.join(f'{n} {s}' for s, n in ready.items())})"
            " are ready to run. If what is waited for has to come from one of them, none ever goes on."
        ),
        evidence=proof(
            report,
            *(
                item
                for n, thread, at in pinned[:_MOST]
                for item in (
                    (f"threads[{n}].frames[{at}].function", f"{_carried(thread)} waits with its carrier"),
                    (f"threads[{n}].frames[{waits.own_frame(thread)}].function", "in"),
                    (f"threads[{n}].java.blocked_on", "for"),
                )
            ),
            *((f"threads[{n}].frames[{at}].module", "the native code that keeps it there") for n, at in below[:_MOST]),
            *((f"jvm.virtual_thread_states.{state}", f"virtual threads that are {state}") for state in ready),
        ),
        remedies=(
            (
                f"Replace synchronized by a java.util.concurrent.locks.ReentrantLock where {places} waits, or run on"
                " JDK 24 or newer, where it does not pin."
                if monitors
                else f"Do not wait below native code on a virtual thread ({places}): use a platform thread for it."
            ),
            (
                "-Djdk.tracePinnedThreads=full, or the JFR event jdk.VirtualThreadPinned, shows where it happens."
                if major is not None and major <= _LAST_WITH_MONITORS
                else "The JFR event jdk.VirtualThreadPinned shows where it happens."
            ),
        ),
    )


def _pinned(thread: Thread) -> int | None:
    """The frame in which a virtual thread waits that could not leave this carrier."""
    if thread.java is None or thread.java.virtual_tid is None:
        return None
    for index, frame in enumerate(thread.frames):
        if frame.function == _PINNED:
            return index
        if jvm_frames.is_java(frame) and not jvm_frames.of_jdk(frame):
            return None
    return None


def _native_below(thread: Thread, at: int) -> int | None:
    """The frame of a native library below the wait, within the virtual thread's part of the stack."""
    for index, frame in enumerate(thread.frames[at:], at):
        if (frame.function or "").startswith(_BOTTOM):
            return None
        if frame.kind != "native" or frame.module is None or frame.trust == "scan":
            continue
        if not jvm_frames.is_vm(frame) and not jvm_frames.is_system(frame.module):
            return index
    return None


_BOTTOM = ("jdk.internal.vm.Continuation.", "java.lang.VirtualThread.run")


def _pool(name: str) -> str | None:
    """ForkJoinPool-1 of ForkJoinPool-1-worker-3."""
    pool, worker, _ = name.rpartition("-worker-")
    return pool if worker else None


def _carried(thread: Thread) -> str:
    java = thread.java
    if java is None:
        return f"thread {thread.tid}"
    return java.virtual_name or f"virtual thread #{java.virtual_tid}"


RULE = Rule(id="jvm-pinned-carriers", group="jvm", specificity=37, check=check, documentation=__doc__ or "")
