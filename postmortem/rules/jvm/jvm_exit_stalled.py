"""System.exit that does not come to its end.

What it finds: the JVM is shutting down (System.exit, SIGTERM), and waits for a shutdown hook; or DestroyJavaVM waits
for native threads that attached themselves and did not detach.
Why it matters: such a process is then killed by a supervisor's second signal: the hook is what it was killed for.
Evidence it needs: a thread inside java.lang.Shutdown that waits for the hooks, and the hook's stack; or one in the VM's
function that waits for all threads which are no daemons, when none of these has a Java frame.
False alarms: the hook may be slow and at work rather than stuck; the core can't tell for how long it ran. The launcher
calls DestroyJavaVM in every JVM whose main() has returned: native threads may then be meant to go on (only possible).
What to do: bound what the hook waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import culprit, locks
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import _waits as waits
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Thread

_HOOKS = "java.lang.ApplicationShutdownHooks.runHooks"
_DESTROY = "Threads::destroy_vm"
_MOST = 4
_ENTRIES = ("java.lang.System.exit", "java.lang.Runtime.exit", "java.lang.Terminator$1.handle")


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if jvm_views.own_fault(report) or jvm_views.internal_error(report) is not None:
        return
    for index, thread in enumerate(report.threads):
        at = next((n for n, frame in enumerate(thread.frames) if frame.function == _HOOKS), None)
        if at is None or thread.java is None:
            continue
        hook = next(
            ((n, t) for n, t in enumerate(report.threads) if t.tid == thread.java.waits_for_tid != thread.tid), None
        )
        if hook is None:
            continue
        number, running = hook
        asked = next((n for n, f in enumerate(thread.frames) if n > at and f.function in _ENTRIES), None)
        caller = next(
            (n for n, f in enumerate(thread.frames) if asked is not None and n > asked and _own(f.function)), None
        )
        where = jvm_frames.telling(running.frames)
        place = jvm_frames.java_place(running.frames[where]) if where is not None else "native code"
        state = (running.java.state if running.java is not None else None) or "alive"
        by = f" by {_name(thread)}" + (f" in {jvm_frames.java_place(thread.frames[caller])}" if caller else "")
        signal = asked is not None and thread.frames[asked].function == _ENTRIES[2]
        yield Finding(
            rule=RULE.id,
            title=f"The JVM was shutting down and waited for the shutdown hook {_name(running)}, in {place}"[:200],
            severity="high",
            confidence="likely",
            claim="cause",
            rivals=("the hook is at work and merely slow",),
            explanation=(
                f"Shutdown was begun{' by a signal (SIGTERM, SIGINT or SIGHUP)' if signal else by}. It runs all"
                f" shutdown hooks and waits for the end of each; {_name(running)} (thread {running.tid}, {state}) has"
                f" not ended: it stands in {place}. Until it ends, no other System.exit() returns and the process"
                " stays. Whether the hook is stuck or just slow, one core does not tell."
            ),
            evidence=proof(
                report,
                (f"threads[{index}].frames[{at}].function", f"{_name(thread)} waits for the hooks"),
                (f"threads[{index}].java.waits_for_tid", "for this one's end"),
                (f"threads[{index}].frames[{asked}].function" if asked is not None else "", "it was asked to end so"),
                (f"threads[{index}].frames[{caller}].function" if caller is not None else "", "by"),
                (f"threads[{number}].java.state", f"the state of {_name(running)}"),
                (f"threads[{number}].frames[{where}].function" if where is not None else "", "where it stands"),
            ),
            remedies=(
                f"Bound what the hook waits for at {place}: joins and awaits with a time-out, no locks that a thread"
                " may hold which itself calls System.exit().",
                "Let a supervisor's time-out for SIGTERM be longer than the hooks need. Runtime.halt() runs none.",
            ),
        )
        return
    yield from _destroying(report)


def _destroying(report: Report) -> Iterator[Finding]:
    """DestroyJavaVM waits until no thread but daemons is left, attached native ones included (Threads::destroy_vm)."""
    if not waits.standing(report):
        return
    waiting = next(
        (
            (index, at, thread)
            for index, thread in enumerate(report.threads)
            for at, frame in enumerate(thread.frames)
            if jvm_frames.is_vm(frame) and plain(frame.function or "") in _destroys(thread)
        ),
        None,
    )
    if waiting is None or waiting[2].java is None:
        return
    index, at, thread = waiting
    left = [
        (n, t)
        for n, t in enumerate(report.threads)
        if t.java is not None and t.java.daemon is False and t.tid != thread.tid
    ]
    if not left or any(jvm_frames.is_java(frame) for _, t in left for frame in t.frames):
        return
    after = next((n for n, f in enumerate(thread.frames) if n > at and not jvm_frames.is_vm(f)), None)
    caller = thread.frames[after] if after is not None else None
    launched = caller is None or caller.module is None or jvm_frames.is_jdk_library(report, caller.module)
    names = ", ".join(f"{_name(t)}{locks.place(t)}" for _, t in left[:_MOST])
    verb = "a native thread that attached itself to the JVM and has" if len(left) == 1 else "native threads that have"
    yield Finding(
        rule=RULE.id,
        title=f"DestroyJavaVM waits for {names}: {verb} not detached"[:300],
        severity="high",
        confidence="possible" if launched else "likely",
        claim="observation",
        rivals=("The thread is at work and meant to go on; it detaches when it is done.",),
        explanation=(
            f"{_name(thread)} (thread {thread.tid}) has called DestroyJavaVM"
            + (f" in {culprit.label(caller)}" if caller is not None and not launched else "")
            + ", which returns only when no thread but daemons is left. Attached native threads count, whatever they"
            f" do: {names} ({', '.join(f'thread {t.tid}' for _, t in left[:_MOST])}), without a Java frame."
            + (" Threads that go on after main() may be meant to." if launched else "")
        ),
        evidence=proof(
            report,
            (f"threads[{index}].frames[{at}].function", f"{_name(thread)} waits here"),
            *((f"threads[{n}].java.daemon", f"{_name(t)} is no daemon") for n, t in left[:_MOST]),
            *((f"threads[{n}].wait.syscall", f"{_name(t)} is in this system call") for n, t in left[:_MOST]),
        ),
        remedies=(
            "Let each native thread call DetachCurrentThread when it needs the JVM no more, before it waits for work"
            " or ends.",
            "Attach threads that live as long as the process by AttachCurrentThreadAsDaemon: DestroyJavaVM does not"
            " wait for them.",
        ),
    )


def _destroys(thread: Thread) -> tuple[str, ...]:
    """The VM's function that waits; in a libjvm without symbols the one of JavaVM, which has a name: with threads left
    that are no daemons it has not come further."""
    waiting = thread.wait is not None and thread.wait.kind == "condvar"
    return (_DESTROY, "jni_DestroyJavaVM") if waiting else (_DESTROY,)


def _own(function: str | None) -> bool:
    return function is not None and "." in function and not function.startswith(("java.", "jdk.", "sun."))


def _name(thread: Thread) -> str:
    return (thread.java.name if thread.java is not None else None) or f"thread {thread.tid}"


RULE = Rule(id="jvm-exit-stalled", group="jvm", specificity=39, check=check, documentation=__doc__ or "")
