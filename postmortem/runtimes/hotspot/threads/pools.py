"""Pools of threads, as far as their workers wait.

Source: java.util.concurrent.ThreadPoolExecutor (a worker is the Runnable of its thread, and an inner class' instance)
and its usual queues: LinkedBlockingQueue (count), ArrayBlockingQueue (count), DelayedWorkQueue (size).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model import Address
from postmortem.model.jvm import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading
    from postmortem.runtimes.hotspot.threads.monitors import Wait
    from postmortem.runtimes.hotspot.threads.threads import ThreadTable

_WORKER = "java.util.concurrent.ThreadPoolExecutor$Worker"
_MAX_WORKERS = LIMITS.pools_workers
_QUEUE = (
    "java.util.concurrent.locks.AbstractQueuedSynchronizer$ConditionObject",
    "java.util.concurrent.SynchronousQueue",
)
"""What an idle worker waits on."""


def pools(vm: Reading, oops: Oops, table: ThreadTable, waits: Mapping[int, Wait]) -> tuple[ThreadPool, ...]:
    """The pools of which at least one worker waits for something other than the pool's own queue."""
    workers: dict[int, list[int]] = {}
    waiting: set[int] = set()
    for thread in table.threads[:_MAX_WORKERS]:
        if not thread.oop or thread.tid is None:
            continue
        # The Runnable: since JDK 19 in the holder of the fields that virtual threads lack.
        task = oops.oop_field(thread.oop, "target") or oops.oop_field(oops.oop_field(thread.oop, "holder"), "task")
        if oops.class_of(task) != _WORKER:
            continue
        pool = oops.oop_field(task, "this$0")
        if not pool:
            continue
        workers.setdefault(pool, []).append(thread.tid)
        wait = waits.get(thread.address)
        if wait is not None and not wait.text.startswith(_QUEUE):
            waiting.add(pool)
    return tuple(
        ThreadPool(
            address=Address(pool),
            workers=tuple(tids),
            queued=_queued(vm, oops, oops.oop_field(pool, "workQueue")),
            core=vm.u32(oops.place(pool, "corePoolSize")),
            maximum=vm.u32(oops.place(pool, "maximumPoolSize")),
        )
        for pool, tids in workers.items()
        if pool in waiting
    )


def _queued(vm: Reading, oops: Oops, queue: int | None) -> int | None:
    """Elements of a queue that counts them."""
    klass = oops.klass(queue)
    for name in ("count", "size"):
        field = oops.find_field(klass, name)
        if field is None or queue is None or field.static:
            continue
        if field.signature == "I":
            return vm.u32(queue + field.offset)
        # An AtomicInteger.
        return vm.u32(oops.place(oops.load(queue + field.offset), "value"))
    return None
