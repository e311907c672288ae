"""Pool of threads whose workers all wait for its own queue.

What it finds: every worker of a ThreadPoolExecutor waits, inside a task, for the result of another task, while tasks
stand in the queue and the pool may start no further worker.
Why it matters: if what they wait for stands in that queue, nobody will ever run it; jstack sees no deadlock.
Evidence it needs: the pool's workers, its queue's length and its limits; the workers' stacks.
False alarms: the results may be another pool's or another process's, or a wait may have a time-out: never certain.
What to do: do not wait for tasks of the pool inside a task of the pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report, Thread
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAITS = (
    "java.util.concurrent.FutureTask.get",
    "java.util.concurrent.CompletableFuture.get",
    "java.util.concurrent.CompletableFuture.join",
    "java.util.concurrent.AbstractExecutorService.invokeAll",
    "java.util.concurrent.CountDownLatch.await",
)
_LOOP = "java.util.concurrent.ThreadPoolExecutor.runWorker"
_MOST = 4


def check(report: Report) -> Iterator[Finding]:
    """One finding for the largest such pool."""
    jvm = report.jvm
    if jvm is None or jvm_views.own_fault(report) or jvm_views.internal_error(report) is not None:
        return
    threads = {thread.tid: (index, thread) for index, thread in enumerate(report.threads)}
    for number, pool in sorted(enumerate(jvm.thread_pools), key=lambda item: -len(item[1].workers)):
        # A queue without bounds never makes the pool grow beyond its core.
        if not pool.queued or not pool.workers or (pool.core is not None and len(pool.workers) < pool.core):
            continue
        waiting = [(*threads[tid], _wait(threads[tid][1])) for tid in pool.workers if tid in threads]
        if len(waiting) < len(pool.workers) or any(at is None for _, _, at in waiting):
            continue
        timed = any((thread.java.state or "").startswith("TIMED") for _, thread, _ in waiting if thread.java)
        names = ", ".join(_name(thread) for _, thread, _ in waiting[:_MOST])
        places = []
        evidence = [
            (f"jvm.thread_pools[{number}].queued", "tasks in the pool's queue"),
            (f"jvm.thread_pools[{number}].core", "threads that the pool keeps"),
            (f"jvm.thread_pools[{number}].maximum", "and may have"),
        ]
        for index, thread, at in waiting[:_MOST]:
            evidence.append((f"threads[{index}].frames[{at}].function", f"what {_name(thread)} waits in"))
            evidence.append((f"threads[{index}].java.blocked_on", "and for"))
            own = jvm_frames.telling(thread.frames)
            if own is not None:
                places.append(jvm_frames.java_place(thread.frames[own]))
                evidence.append((f"threads[{index}].frames[{own}].function", "its caller"))
        count = len(pool.workers)
        stand = f"{pool.queued} {'stands' if pool.queued == 1 else 'stand'}"
        queued = "1 task is queued" if pool.queued == 1 else f"{pool.queued} tasks are queued"
        yield Finding(
            rule=RULE.id,
            title=(
                f"All {count} threads of a pool wait for tasks, and {stand} in its queue: {names}"
                if count > 1
                else f"The only thread of a pool, {names}, waits for a task, and {stand} in its queue"
            ),
            severity="critical",
            confidence="possible" if timed else "likely",
            claim="cause",
            rivals=("the results come from another pool or a remote side, and the queue is merely behind",),
            explanation=(
                f"Every worker of the ThreadPoolExecutor at {pool.address:#x} ({count}) is inside a task and waits for"
                f" the result of another one, in {'; '.join(dict.fromkeys(places)) or 'its task'}. {queued},"
                " and only these workers take tasks from that queue. If what they wait for stands in it,"
                " none of them ever goes on. What else it may be: the results come from another pool or a remote side"
                " and the queue is merely behind"
                + (", or a wait ends by its time-out." if timed else ".")
                + " jstack reports no deadlock, for no lock is held."
            ),
            evidence=proof(report, *evidence),
            remedies=(
                "Do not wait, in a task, for another task of the same pool: give such tasks a pool of their own, or"
                " compose them (CompletableFuture.thenCompose) instead of get() or join().",
                "A larger pool only moves the limit; a ForkJoinPool or virtual threads bear such waits.",
            ),
        )
        return


def _wait(thread: Thread) -> int | None:
    """Index of the frame in which a worker waits for a result, inside a task; None: it does not."""
    found = None
    for index, frame in enumerate(thread.frames):
        if found is None and frame.function in _WAITS:
            found = index
        if frame.function == _LOOP:
            return found
        own = jvm_frames.is_java(frame) and not (frame.function or "").startswith(("java.", "jdk.", "sun."))
        if own and found is None:
            return None
    return None


def _name(thread: Thread) -> str:
    return (thread.java.name if thread.java is not None else None) or f"thread {thread.tid}"


RULE = Rule(id="jvm-thread-pool-starved", group="jvm", specificity=88, check=check, documentation=__doc__ or "")
