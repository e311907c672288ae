"""System.exit that does not come to its end.

What it finds: the JVM is shutting down (System.exit, SIGTERM), and waits for a shutdown hook.
Why it matters: such a process is then killed by a supervisor's second signal: the hook is what it was killed for.
Evidence it needs: a thread inside java.lang.Shutdown that waits for the hooks, and the hook's stack.
False alarms: the hook may be slow and at work rather than stuck; the core can't tell for how long it ran.
What to do: bound what the hook waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Thread

_HOOKS = "java.lang.ApplicationShutdownHooks.runHooks"
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


def _own(function: str | None) -> bool:
    return function is not None and "." in function and not function.startswith(("java.", "jdk.", "sun."))


def _name(thread: Thread) -> str:
    return (thread.java.name if thread.java is not None else None) or f"thread {thread.tid}"


RULE = Rule(id="jvm-exit-stalled", group="jvm", specificity=39, check=check, documentation=__doc__ or "")
