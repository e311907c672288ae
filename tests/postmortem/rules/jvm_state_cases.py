"""Reports of a JVM's state: those that fire each rule, near misses, and those that lack the fact it needs."""

from __future__ import annotations

from typing import Any

import msgspec

from postmortem.model import Address, Flag, Frame, Host, JavaThread, Memory, Report, Thread, VmError, Wait
from postmortem.model.jvm import (
    ClassLoader,
    CodeCache,
    CodeSegment,
    Deadlock,
    DeadlockMember,
    DirectMemory,
    Event,
    EventLog,
    Heap,
    HistogramEntry,
    Jvm,
    Metaspace,
    Safepoint,
    ThreadPool,
)
from postmortem.model.report import CxxException, NativeFacts
from tests.postmortem.rules.cases import TERMINATE, Cases
from tests.postmortem.rules.jvm_cases import (
    GUARANTEE,
    INTERNAL_ERROR_EVENT,
    JNI_CRASH,
    MAIN,
    MALLOC_FAILED,
    NATIVE_METHOD,
    OUT_OF_MEMORY,
    TIMEOUT,
    compiled,
    from_log,
    interpreted,
    java_abort,
    java_crash,
    libc,
    native,
    on,
    operation,
    state,
    vm,
)
from tests.postmortem.rules.reports import PID, report, thread, waiting

MIB, GIB = 1 << 20, 1 << 30
ASLEEP = (libc("pthread_cond_wait"), vm("JVM_Sleep"), interpreted("java.lang.Thread.sleep", None), *MAIN)


def killed(jvm: Jvm, *others: Thread, **rest: Any) -> Report:
    """A JVM at rest that a watchdog ended."""
    values: dict[str, Any] = {"number": 6, "code": 0, "sender": 7, "address": None, "jvm": jvm}
    return java_crash(**(values | {"threads": (on(*ASLEEP), *others)} | rest))


def java_thread(tid: int, name: str, thread_state: str, *frames: Frame, **rest: Any) -> Thread:
    """A Java thread by the VM's own state; keywords as of JavaThread."""
    java = JavaThread(name=name, kind="JavaThread", thread_state=thread_state, **rest)
    return thread(*frames, tid=tid, name=name, java=java)


def blocked(tid: int, name: str, by: str | None, **rest: Any) -> Thread:
    """A thread that wants a monitor."""
    frames = (libc("pthread_cond_wait"), vm("ObjectMonitor::enter"), interpreted("shop.Account.transfer"), *MAIN)
    account = f"shop.Account@{0xC0001000 + tid:#x}"
    values: dict[str, Any] = {"state": "BLOCKED", "blocked_on": account, "blocked_by": by}
    return java_thread(tid, name, "_thread_blocked", *frames, **(values | rest))


def circle(*threads: Thread) -> Deadlock:
    """The deadlock of threads that wait for one another."""
    return Deadlock(
        threads=tuple(
            DeadlockMember(
                name=item.name or "", tid=item.tid, waiting_for=item.java.blocked_on, held_by=item.java.blocked_by
            )
            for item in threads
            if item.java is not None
        )
    )


def fatal(words: str) -> VmError:
    """-XX:+CrashOnOutOfMemoryError."""
    return VmError(id=0xE0000004, message="fatal error", detail=f"OutOfMemory encountered: {words}", file="debug.cpp")


def exhausted(words: str, **rest: Any) -> Report:
    """A JVM that was told to end with an OutOfMemoryError; keywords as of Jvm."""
    frames = (vm("report_fatal"), vm("report_java_out_of_memory"), vm("MemAllocator::allocate"))
    return java_abort(*frames, *MAIN, jvm=state(error=fatal(words), **rest))


def thrown(words: str, time: float = 3599.5) -> EventLog:
    """The VM's ring of exceptions, with an OutOfMemoryError and one that came after it."""
    error = Event(time=time, text=f"Exception <a 'java/lang/OutOfMemoryError': {words}> (0x00000000c0001000)")
    other = Event(time=3599.9, text="Exception <a 'java/lang/NoSuchMethodError': 'int shop.Row.get()'>")
    return EventLog(name="Internal exceptions", events=(error, other))


def java_heap(used: int | None, maximum: int | None, capacity: int | None = None, collector: str = "G1") -> Heap:
    return Heap(collector=collector, used=used, maximum=maximum, capacity=capacity or maximum)


def segment(name: str, used: int | None, capacity: int) -> CodeSegment:
    start = Address(0x7F00E0000000)
    return CodeSegment(name=name, start=start, end=Address(start + capacity), capacity=capacity, used=used)


def code(*segments: CodeSegment, compilation: str | None = "enabled", **rest: Any) -> Jvm:
    return state(code_cache=CodeCache(segments=segments, compilation=compilation, **rest))


def direct(used: int | None, maximum: int | None, *events: EventLog) -> Jvm:
    return state(direct_memory=DirectMemory(used=used, maximum=maximum, buffers=8), events=events, uptime=3600.0)


def contained(limit: int | None, jvm: Jvm) -> Report:
    """A crash in a container."""
    return msgspec.structs.replace(JNI_CRASH, jvm=jvm, host=Host(container="cgroupv2", memory_limit=limit))


def parts(maximum: int | None, **rest: Any) -> Jvm:
    """What lies in memory: 100 MiB beside the heap."""
    values: dict[str, Any] = {
        "heap": java_heap(40 * MIB, maximum),
        "metaspace": Metaspace(committed=60 * MIB, class_committed=8 * MIB, class_maximum=GIB),
        "code_cache": CodeCache(used=20 * MIB, reserved=240 * MIB),
        "direct_memory": DirectMemory(used=20 * MIB, maximum=GIB),
    }
    return state(**(values | rest))


def set_to(value: str, origin: str | None, *names: str) -> tuple[Flag, ...]:
    return tuple(Flag(name=name, value=value, origin=origin) for name in names)


def flagged(*flags: Flag) -> Report:
    """A crash with these flags."""
    return msgspec.structs.replace(JNI_CRASH, jvm=state(flags=flags))


FIRST, SECOND = blocked(101, "transfer-1", "transfer-2"), blocked(102, "transfer-2", "transfer-1")
LOADING = tuple(
    blocked(105 + me, f"loads-{me}", f"loads-{other}", state="RUNNABLE", blocked_on=f"initialization of shop.C{other}")
    for me, other in ((0, 1), (1, 0))
)
RING = tuple(blocked(110 + n, f"stage-{n}", f"stage-{(n + 1) % 3}", state="WAITING") for n in range(3))
UNNAMED = Deadlock(threads=tuple(DeadlockMember(name=name, waiting_for=f"java.lang.Object@0x{name}0") for name in "ab"))
WORKING = java_thread(103, "auditor", "_thread_in_Java", compiled("shop.Audit.sum"), state="RUNNABLE")
SPINNING = java_thread(101, "pricing-1", "_thread_in_Java", compiled("shop.Prices.total"), *MAIN, state="RUNNABLE")
STUCK = msgspec.structs.replace(SPINNING, tid=PID, crashed=True)
HOLDER = java_thread(300, "archiver", "_thread_in_native", libc("poll"), *NATIVE_METHOD)


def queue(holder: str) -> tuple[Thread, ...]:
    """Twenty threads that want one monitor."""
    return tuple(blocked(n, f"booking-{n}", holder, blocked_on="shop.Ledger@0xc1000000") for n in range(200, 220))


QUEUE = queue("archiver")
HANDLER = Frame(pc=Address(0x7F0000001000), sp=Address(0x7E0000002000), kind="signal", trust="cfi")
WAITED_FOR = Safepoint(state="synchronizing", waiting_to_block=1, waited=2.5)
JUST_BEGUN = Safepoint(state="synchronizing", waiting_to_block=1)
PAUSING = thread(libc("__nanosleep"), vm("os::naked_short_sleep"), vm("SafepointSynchronize::begin"), tid=9)
UNPOLLED = java_thread(
    101, "pricing-1", "_thread_in_Java", compiled("shop.Prices.total"), *MAIN, state="RUNNABLE", loop_polls=False
)
UPGRADING = DeadlockMember(
    name="upgrader",
    tid=101,
    waiting_for="java.util.concurrent.locks.ReentrantReadWriteLock$NonfairSync@0xc0002000",
    held_by="upgrader",
    kind="read-lock",
)
JOINING = (
    DeadlockMember(name="parent", tid=101, waiting_for="java.lang.Thread@0xc0003000", held_by="child", kind="join"),
    DeadlockMember(name="child", tid=102, waiting_for="shop.Ledger@0xc0004000", held_by="parent", kind="lock"),
)
IN_LIBRARY = blocked(101, "native-first", "monitor-first", wait_kind="lock", waits_for_tid=102)
WANTS_MUTEX = msgspec.structs.replace(
    java_thread(102, "monitor-first", "_thread_in_native", libc("pthread_mutex_lock"), native("lock"), *NATIVE_METHOD),
    wait=Wait(syscall="futex", kind="mutex", address=Address(0x7000), owner=101, owner_in_core=True),
)
GETS = (interpreted("java.util.concurrent.FutureTask.get"), interpreted("shop.Report.run"))
WORKER = (interpreted("java.util.concurrent.ThreadPoolExecutor.runWorker"), *MAIN)
RESULT = "java.util.concurrent.FutureTask@0xc0005000"
STARVED = tuple(
    java_thread(400 + n, f"pool-1-thread-{n}", "_thread_blocked", *GETS, *WORKER, state="WAITING", blocked_on=RESULT)
    for n in range(2)
)
POOL = ThreadPool(address=Address(0xC0006000), workers=(400, 401), queued=2, core=2, maximum=2)
HOOK = java_thread(501, "flush", "_thread_blocked", interpreted("java.lang.Object.wait"), interpreted("shop.Flush.run"))
LEAVING = java_thread(
    500,
    "main",
    "_thread_blocked",
    interpreted("java.lang.Thread.join"),
    interpreted("java.lang.ApplicationShutdownHooks.runHooks"),
    interpreted("java.lang.Shutdown.exit"),
    interpreted("java.lang.System.exit"),
    *MAIN,
    state="WAITING",
    wait_kind="join",
    waits_for_tid=501,
)
PINNED = tuple(
    java_thread(600 + n, f"maker-{n}", "_thread_blocked", vm("GCLocker::stall_until_clear()"), *MAIN) for n in range(2)
)
PINNER = msgspec.structs.replace(
    java_thread(610, "pinner", "_thread_in_native", libc("poll"), native("fill"), *NATIVE_METHOD),
    wait=Wait(syscall="poll", kind="syscall"),
)


def counted(sections: int) -> Thread:
    """As PINNER, where the VM counts the critical sections that it is in."""
    assert PINNER.java is not None
    return msgspec.structs.replace(PINNER, java=msgspec.structs.replace(PINNER.java, critical=sections))


STOPPED_IN_VM = tuple(
    msgspec.structs.replace(
        java_thread(
            620 + n,
            f"maker-{n}",
            "_thread_blocked",
            libc("pthread_cond_wait"),
            msgspec.structs.replace(vm("x"), function=None),
            interpreted("shop.Row.make"),
            state="RUNNABLE",
        ),
        wait=Wait(syscall="futex", kind="condvar"),
    )
    for n in range(2)
)
DESTROYING = java_thread(
    700,
    "main",
    "_thread_blocked",
    libc("pthread_cond_wait"),
    vm("Threads::destroy_vm()"),
    vm("jni_DestroyJavaVM"),
    native("main"),
    state="RUNNABLE",
    daemon=False,
)


def attached(daemon: bool = False) -> Thread:
    """A native thread that attached itself."""
    return java_thread(702, "listener", "_thread_in_native", libc("pause"), native("listen"), daemon=daemon)


ATTACHED = attached()
NAMELESS_DESTROYING = msgspec.structs.replace(
    DESTROYING,
    frames=(DESTROYING.frames[0], *DESTROYING.frames[2:]),
    wait=Wait(syscall="futex", kind="condvar"),
)
CLEANS = interpreted("jdk.internal.ref.CleanerImpl.run")
FINALIZING = java_thread(
    800,
    "Finalizer",
    "_thread_blocked",
    vm("ObjectMonitor::enter"),
    interpreted("shop.Handle.finalize"),
    interpreted("java.lang.ref.Finalizer$FinalizerThread.run"),
    state="BLOCKED",
    blocked_on="java.lang.Object@0xc0007000",
    blocked_by="keeper",
    wait_kind="lock",
    waits_for_tid=801,
)


def keeper(java_state: str) -> Thread:
    """The holder of a lock."""
    frames = (interpreted("java.lang.Thread.sleep", None), interpreted("shop.Keeper.run"))
    return java_thread(801, "keeper", "_thread_blocked", *frames, state=java_state)


KEEPER = keeper("TIMED_WAITING")


def carrier(number: int, pinned: bool = True, virtual_tid: int | None = 30) -> Thread:
    """A carrier whose virtual thread waits."""
    park = interpreted("java.lang.VirtualThread.parkOnCarrierThread")
    frames = (*((park,) if pinned else ()), interpreted("java.util.concurrent.CountDownLatch.await"))
    return java_thread(
        850 + number,
        f"ForkJoinPool-1-worker-{number}",
        "_thread_blocked",
        *frames,
        interpreted("shop.Chat.join"),
        state="WAITING",
        virtual_tid=virtual_tid,
    )


LISTENS = java_thread(
    901,
    "listens",
    "_thread_blocked",
    interpreted("java.lang.Object.wait", None),
    interpreted("shop.Queue.take"),
    state="WAITING",
    blocked_on="shop.Queue@0xc0008000",
)
JOINS = java_thread(
    900,
    "joins",
    "_thread_blocked",
    interpreted("java.lang.Object.wait", None),
    interpreted("java.lang.Thread.join"),
    interpreted("shop.Main.main"),
    state="WAITING",
    blocked_on="java.lang.Thread@0xc0008100",
    wait_kind="join",
    waits_for_tid=901,
)
IDLE_WORKER = java_thread(
    902,
    "pool-1-thread-1",
    "_thread_blocked",
    interpreted("java.util.concurrent.locks.LockSupport.park"),
    interpreted("java.util.concurrent.ThreadPoolExecutor.getTask"),
    state="TIMED_WAITING",
)
SCHEDULED = java_thread(
    903,
    "pool-2-thread-1",
    "_thread_blocked",
    interpreted("java.util.concurrent.ScheduledThreadPoolExecutor$DelayedWorkQueue.take"),
    interpreted("java.util.concurrent.ThreadPoolExecutor.getTask"),
    state="TIMED_WAITING",
)


def idle_process(*threads: Thread, jvm: Jvm | None = None) -> Report:
    """A JVM whose first thread, the launcher's, waits for main()."""
    first = thread(libc("pthread_join"), native("CallJavaMainInNewThread"))
    return killed(jvm or state(), threads=(first, *threads))


THRASHING = msgspec.structs.replace(
    java_heap(30 * MIB, 32 * MIB, collector="Parallel"),
    full_collections=300,
    full_seconds=60.0,
    full_share=0.6,
    since_full=0.0,
)
BAD_ALLOC = NativeFacts(exceptions=(CxxException(type="std::bad_alloc", address=Address(1 << 32), tid=PID),))
METASPACE_FAILED = VmError(id=0xE0000002, detail="Failed to commit metaspace.", size=65536)
MACHINE = Host(memory=16 * GIB, memory_available=48 * MIB, swap_free=0)
SESSIONS = (HistogramEntry(class_="shop.Session", instances=26000, bytes=25 * MIB),)
LOADERS = (ClassLoader(name="shop.Plugin @0xc0001000", classes=1),)
FULL_METASPACE = Metaspace(committed=24 * MIB, maximum=24 * MIB, classes=4200, loaders=3900)

JVM_STATE_CASES: dict[str, Cases] = {
    "jvm-java-deadlock": Cases(
        (
            killed(state(deadlocks=(circle(FIRST, SECOND),)), FIRST, SECOND),
            killed(state(deadlocks=(circle(*RING), circle(FIRST, SECOND))), *RING, FIRST, SECOND),
            report(jvm=state(deadlocks=(UNNAMED,))),
            killed(state(deadlocks=(circle(*LOADING),)), *LOADING),
            killed(state(deadlocks=(Deadlock(threads=(UPGRADING,)),)), FIRST),
            killed(state(deadlocks=(Deadlock(threads=JOINING),)), FIRST),
            killed(state(), IN_LIBRARY, WANTS_MUTEX),
        ),
        (
            killed(state(), blocked(101, "transfer-1", "auditor"), WORKING),
            killed(state(), FIRST, blocked(102, "transfer-2", "auditor"), WORKING),
            killed(state(), blocked(101, "pool-1-thread-1", None, state="WAITING")),
            killed(state(), waiting(101, 0x7000, owner=102), waiting(102, 0x7040, owner=101)),
            killed(state(), WORKING, WANTS_MUTEX),
            killed(state(), msgspec.structs.replace(WANTS_MUTEX, tid=104), blocked(102, "b", "a", waits_for_tid=104)),
        ),
        (report(threads=(FIRST, SECOND)), report(jvm=Jvm()), report()),
    ),
    "jvm-thread-pool-starved": Cases(
        (
            killed(state(thread_pools=(POOL,)), *STARVED),
            killed(state(thread_pools=(msgspec.structs.replace(POOL, workers=(400,), core=1),)), STARVED[0]),
        ),
        (
            killed(state(thread_pools=(msgspec.structs.replace(POOL, queued=0),)), *STARVED),
            killed(state(thread_pools=(msgspec.structs.replace(POOL, core=4, maximum=4),)), *STARVED),
            killed(
                state(thread_pools=(POOL,)),
                STARVED[0],
                java_thread(401, "pool-1-thread-1", "_thread_in_Java", interpreted("shop.Report.run"), *WORKER),
            ),
        ),
        (killed(state(thread_pools=(POOL,)), STARVED[0]), killed(state(), *STARVED), report(jvm=Jvm()), report()),
    ),
    "jvm-gc-locker-stall": Cases(
        (
            killed(state(), *PINNED, PINNER),
            killed(state(), *PINNED, PINNER, msgspec.structs.replace(PINNER, tid=611)),
            killed(state(), *PINNED, msgspec.structs.replace(PINNER, wait=None)),
            killed(state(), *PINNED, counted(1), msgspec.structs.replace(counted(0), tid=611)),
            killed(state(), *STOPPED_IN_VM, counted(1)),
        ),
        (
            killed(state(), PINNED[0], PINNER),
            killed(state(), *STARVED, PINNER),
            killed(state(), *PINNED, counted(0)),
            killed(state(), *STOPPED_IN_VM, PINNER),
            killed(state(), STOPPED_IN_VM[0], counted(1)),
            killed(state(), *PINNED, java_thread(612, "busy", "_thread_in_Java", compiled("shop.Prices.total"))),
        ),
        (killed(state(), *PINNED), report(jvm=Jvm()), report()),
    ),
    "jvm-exit-stalled": Cases(
        (
            killed(state(), LEAVING, HOOK),
            killed(state(), DESTROYING, ATTACHED),
            killed(state(), msgspec.structs.replace(DESTROYING, frames=DESTROYING.frames[:3]), ATTACHED),
            killed(state(), NAMELESS_DESTROYING, ATTACHED),
        ),
        (
            killed(state(), HOOK),
            killed(state(), DESTROYING, ATTACHED, java_thread(703, "pool-1", "_thread_blocked", *MAIN, daemon=False)),
            killed(state(), DESTROYING, attached(daemon=True)),
            killed(state(), msgspec.structs.replace(NAMELESS_DESTROYING, wait=None), ATTACHED),
            java_crash(
                native("parse"),
                *NATIVE_METHOD,
                jvm=state(),
                threads=(on(native("parse"), *NATIVE_METHOD), LEAVING, HOOK),
            ),
        ),
        (killed(state(), LEAVING), report(jvm=Jvm()), report()),
    ),
    "jvm-finalizer-blocked": Cases(
        (
            killed(state(finalizer_queue=400), FINALIZING, KEEPER),
            killed(state(), msgspec.structs.replace(FINALIZING, frames=(*FINALIZING.frames[:-1], CLEANS)), KEEPER),
        ),
        (
            killed(state(), FINALIZING, keeper("RUNNABLE")),
            killed(state(), blocked(800, "Finalizer", "keeper", wait_kind="lock", waits_for_tid=801), KEEPER),
            killed(state(deadlocks=(circle(FINALIZING, KEEPER),)), FINALIZING, KEEPER),
        ),
        (killed(state(), KEEPER), report(jvm=Jvm()), report()),
    ),
    "jvm-pinned-carriers": Cases(
        (
            killed(state(virtual_thread_states={"STARTED": 3, "PARKED": 9}), carrier(1), carrier(2)),
            killed(state(virtual_thread_states={"UNPARKED": 1}), carrier(1)),
        ),
        (
            killed(state(virtual_thread_states={"PARKED": 9}), carrier(1)),
            killed(state(virtual_thread_states={"STARTED": 3}), carrier(1), carrier(2, virtual_tid=None)),
            killed(state(virtual_thread_states={"STARTED": 3}), carrier(1), carrier(2, pinned=False)),
        ),
        (killed(state(), carrier(1)), killed(state(virtual_thread_states={"STARTED": 3})), report(jvm=Jvm())),
    ),
    "jvm-lost-wakeup": Cases(
        (
            idle_process(JOINS, LISTENS),
            idle_process(JOINS, LISTENS, IDLE_WORKER),
        ),
        (
            idle_process(LISTENS),
            idle_process(JOINS, LISTENS, SPINNING),
            idle_process(JOINS, LISTENS, PINNER),
            idle_process(JOINS, LISTENS, keeper("TIMED_WAITING")),
            idle_process(JOINS, LISTENS, SCHEDULED),
            idle_process(JOINS, LISTENS, thread(libc("epoll_wait"), native("loop"), tid=905)),
            idle_process(JOINS, blocked(901, "listens", "keeper", waits_for_tid=801), keeper("WAITING")),
            idle_process(JOINS, LISTENS, jvm=state(virtual_thread_states={"PARKED": 1})),
        ),
        (report(threads=(JOINS, LISTENS)), report(jvm=Jvm()), report()),
    ),
    "jvm-native-oom": Cases(
        (
            java_abort(vm("report_vm_out_of_memory"), vm("Arena::grow"), *MAIN, jvm=state(error=MALLOC_FAILED)),
            from_log(
                vm("report_vm_out_of_memory"),
                error=VmError(id=0xE0000002, detail="committing reserved memory", size=64 * MIB),
                host=MACHINE,
                memory=Memory(by_kind={"java heap": 8 * GIB, "malloc": 4 * GIB}, mappings=900),
            ),
            from_log(error=VmError(message="Native memory allocation (malloc) failed to allocate 2064 bytes")),
            from_log(error=VmError(id=0xE0000003, message="memory to guard stack pages")),
            java_abort(vm("report_vm_out_of_memory"), vm("Arena::grow"), *MAIN),
        ),
        (
            java_abort(vm("report_fatal"), *MAIN, jvm=state(error=OUT_OF_MEMORY)),
            exhausted("Metaspace", metaspace=FULL_METASPACE),
            java_abort(vm("report_vm_error"), *MAIN, jvm=state(error=GUARANTEE)),
            java_crash(native("parse"), *NATIVE_METHOD, address=0x18, host=MACHINE),
            java_abort(*(native(name) for name in TERMINATE), *NATIVE_METHOD, native=BAD_ALLOC, host=MACHINE),
            killed(state(events=(thrown("unable to create native thread: possibly out of memory"),)), host=MACHINE),
        ),
        (java_abort(vm("os::abort"), *MAIN), from_log(error=VmError()), from_log(), report(jvm=Jvm()), report()),
    ),
    "jvm-java-heap-exhausted": Cases(
        (
            exhausted("Java heap space", heap=java_heap(30 * MIB, 32 * MIB), histogram=SESSIONS),
            from_log(error=fatal("GC overhead limit exceeded")),
            killed(state(heap=java_heap(32 * MIB - 4096, 32 * MIB))),
            killed(state(heap=java_heap(30 * MIB, 32 * MIB), events=(thrown("Java heap space"),), uptime=3600.0)),
            exhausted("Requested array size exceeds VM limit", heap=java_heap(2 * MIB, 64 * MIB)),
            killed(state(heap=THRASHING)),
        ),
        (
            exhausted("Metaspace", heap=java_heap(5 * MIB, 64 * MIB), metaspace=FULL_METASPACE),
            killed(state(heap=java_heap(2 * MIB, 64 * MIB), events=(thrown("Java heap space", 12.0),), uptime=3600.0)),
            killed(state(heap=java_heap(54 * MIB, 64 * MIB), vm_operation="G1CollectForAllocation")),
            killed(state(heap=java_heap(16 * MIB - 4096, 64 * MIB, 16 * MIB))),
            killed(state(heap=msgspec.structs.replace(THRASHING, full_share=0.01, since_full=40.0))),
            killed(state(heap=msgspec.structs.replace(THRASHING, used=8 * MIB))),
            java_abort(vm("Arena::grow"), *MAIN, jvm=state(error=MALLOC_FAILED, heap=java_heap(30 * MIB, 64 * MIB))),
        ),
        (
            killed(state(heap=java_heap(None, 64 * MIB, 60 * MIB, "CMS"))),
            killed(state(heap=java_heap(64 * MIB, None))),
            from_log(),
            report(jvm=Jvm()),
            report(),
        ),
    ),
    "jvm-metaspace-exhausted": Cases(
        (
            exhausted("Metaspace", metaspace=FULL_METASPACE, class_loaders=LOADERS),
            from_log(error=fatal("Compressed class space")),
            killed(state(metaspace=FULL_METASPACE)),
            killed(state(metaspace=Metaspace(committed=49 * MIB, class_committed=16580608, class_maximum=16 * MIB))),
        ),
        (
            exhausted("Java heap space", metaspace=Metaspace(committed=20 * MIB, maximum=24 * MIB)),
            killed(state(metaspace=Metaspace(committed=3 * GIB, used=3 * GIB, classes=400_000, loaders=90_000))),
            killed(state(metaspace=Metaspace(committed=600 * MIB, class_committed=90 * MIB, class_maximum=GIB))),
            killed(state(metaspace=Metaspace(committed=9 * MIB, maximum=24 * MIB), events=(thrown("Metaspace", 9.0),))),
            java_abort(vm("report_vm_out_of_memory"), *MAIN, jvm=state(error=METASPACE_FAILED)),
        ),
        (
            killed(state(metaspace=Metaspace())),
            killed(state(metaspace=Metaspace(maximum=24 * MIB, class_maximum=16 * MIB))),
            from_log(),
            report(jvm=Jvm()),
            report(),
        ),
    ),
    "jvm-lock-convoy": Cases(
        (killed(state(), HOLDER, *QUEUE),),
        (
            killed(state(), HOLDER, *QUEUE[:3]),
            killed(state(deadlocks=(circle(FIRST, SECOND),)), FIRST, *queue("transfer-1")),
            killed(state(), *QUEUE),
            killed(state(), java_thread(300, "archiver", "_thread_in_native", HANDLER, *MAIN), *QUEUE),
        ),
        (
            killed(state(), HOLDER, *(java_thread(n, f"w-{n}", "_thread_blocked", *MAIN) for n in range(200, 220))),
            report(jvm=Jvm()),
            report(),
        ),
    ),
    "jvm-safepoint-stall": Cases(
        (
            killed(operation("G1CollectFull", safepoint=WAITED_FOR), SPINNING),
            java_crash(number=4, code=-6, sender=PID, threads=(STUCK,), jvm=state(flags=TIMEOUT, safepoint=WAITED_FOR)),
            killed(
                state(safepoint=Safepoint(state="synchronizing")),
                java_thread(101, "loader", "_thread_in_vm", vm("SystemDictionary::load"), *MAIN),
                FIRST,
            ),
            killed(state(safepoint=JUST_BEGUN), UNPOLLED, PAUSING),
            killed(state(safepoint=msgspec.structs.replace(WAITED_FOR, waited=0.2)), UNPOLLED),
        ),
        (
            killed(operation("G1CollectFull", safepoint=msgspec.structs.replace(WAITED_FOR, waited=0.2)), SPINNING),
            java_abort(
                vm("report_fatal"),
                *MAIN,
                jvm=state(error=fatal("Java heap space"), safepoint=msgspec.structs.replace(WAITED_FOR, waited=0.0)),
            ),
            killed(operation("G1CollectFull", safepoint=Safepoint(state="synchronized", waiting_to_block=0)), FIRST),
            killed(
                operation("G1CollectFull", safepoint=Safepoint(state="synchronized")),
                java_thread(101, "reader", "_thread_in_native", libc("read"), native("fill"), *NATIVE_METHOD),
            ),
            killed(state(safepoint=Safepoint(state="not synchronized", waiting_to_block=0)), SPINNING),
            killed(state(safepoint=Safepoint(state="synchronizing", waiting_to_block=0)), FIRST),
            java_crash(compiled("shop.Prices.total"), *MAIN, jvm=state(safepoint=WAITED_FOR)),
            killed(
                state(safepoint=Safepoint(state="not synchronized"), deadlocks=(circle(FIRST, SECOND),)), FIRST, SECOND
            ),
        ),
        (
            killed(operation("G1CollectFull"), SPINNING),
            killed(state(safepoint=Safepoint(waiting_to_block=1)), SPINNING),
            report(jvm=Jvm()),
            report(),
        ),
    ),
    "jvm-code-cache-full": Cases(
        (
            killed(
                code(
                    segment("CodeCache", 2622848, 3 * MIB),
                    compilation="disabled (not enough contiguous free space left)",
                    nmethods=900,
                )
            ),
            killed(
                code(
                    segment("non-profiled nmethods", 116 * MIB, 117 * MIB),
                    segment("profiled nmethods", 117 * MIB - 40960, 117 * MIB),
                    segment("non-nmethods", 2 * MIB, 6 * MIB),
                )
            ),
            killed(code(compilation="disabled (not enough contiguous free space left)")),
        ),
        (
            killed(
                code(
                    segment("non-profiled nmethods", 30 * MIB, 117 * MIB),
                    segment("profiled nmethods", 117 * MIB - 40960, 117 * MIB),
                )
            ),
            killed(code(segment("CodeCache", 2 * MIB, 240 * MIB), compilation="disabled for good (a compiler failed)")),
            killed(code(segment("CodeCache", 200 * MIB, 240 * MIB))),
            java_crash(
                interpreted("a.B.c"),
                *MAIN,
                jvm=code(segment("CodeCache", MIB, 48 * MIB), compilation="disabled (interpreter mode)"),
            ),
            java_crash(interpreted("a.B.c"), *MAIN, jvm=code(compilation="disabled (interpreter mode)")),
            killed(
                code(segment("non-nmethods", 6 * MIB - 4096, 6 * MIB), segment("profiled nmethods", MIB, 117 * MIB))
            ),
            killed(code(segment("CodeCache", 150 * MIB, 240 * MIB), nmethods=40_000)),
        ),
        (
            killed(code(segment("CodeCache", None, 48 * MIB), compilation=None)),
            killed(code(compilation=None)),
            report(jvm=Jvm()),
            report(),
        ),
    ),
    "jvm-direct-memory": Cases(
        (
            killed(direct(7 * MIB, 8 * MIB, thrown("Direct buffer memory"))),
            killed(direct(8 * MIB, 8 * MIB)),
            killed(direct(7 * MIB, 8 * MIB, thrown("Cannot reserve 4194304 bytes of direct buffer memory"))),
        ),
        (
            killed(direct(3 * MIB, 8 * MIB)),
            killed(direct(7 * MIB, 8 * MIB)),
            killed(direct(3 * MIB, 8 * MIB, thrown("Java heap space"))),
            killed(direct(0, 64 * MIB, INTERNAL_ERROR_EVENT)),
            killed(direct(1 * MIB, 64 * MIB, thrown("Direct buffer memory", 12.0))),
            exhausted("Java heap space", direct_memory=DirectMemory(used=3 * MIB, maximum=8 * MIB)),
        ),
        (
            killed(direct(8 * MIB, None)),
            killed(direct(None, 8 * MIB)),
            killed(direct(8 * MIB, 0)),
            report(jvm=Jvm()),
            report(),
        ),
    ),
    "jvm-memory-over-limit": Cases(
        (
            contained(300 * MIB, state(heap=java_heap(MIB, 512 * MIB))),
            contained(GIB, parts(950 * MIB)),
            contained(512 * MIB, state(heap=java_heap(MIB, 512 * MIB))),
        ),
        (
            contained(GIB, parts(768 * MIB)),
            contained(GIB, state(heap=java_heap(8 * MIB, 900 * MIB, 8 * MIB))),
            contained(0x7FFFFFFFFFFFF000, parts(8 * GIB)),
        ),
        (
            contained(None, parts(8 * GIB)),
            contained(GIB, parts(None)),
            contained(GIB, parts(None, heap=None)),
            msgspec.structs.replace(JNI_CRASH, jvm=parts(8 * GIB)),
            report(host=Host(memory_limit=GIB)),
            report(),
        ),
    ),
    "jvm-outdated": Cases(
        (
            report(jvm=Jvm(version="17.0.2+8")),
            report(jvm=Jvm(version="25.302-b08")),
            report(jvm=Jvm(version="1.8.0_202-b26")),
            report(jvm=Jvm(version="23.0.1+11")),
            java_crash(
                vm("MinINode::Ideal(PhaseGVN*, bool)"),
                kind="CompilerThread",
                name="C2 CompilerThread0",
                jvm=Jvm(version="11.0.9+11"),
            ),
        ),
        (
            report(jvm=Jvm(version="17.0.99+1")),
            report(jvm=Jvm(version="25.992-b08")),
            report(jvm=Jvm(version="27+35")),
            java_crash(
                vm("MinINode::Ideal(PhaseGVN*, bool)"),
                kind="CompilerThread",
                name="C2 CompilerThread0",
                jvm=Jvm(version="11.0.99+1"),
            ),
        ),
        (report(jvm=Jvm(version="next")), report(jvm=Jvm()), report()),
    ),
    "jvm-risky-flags": Cases(
        (
            flagged(*set_to("false", "command line", "BytecodeVerificationRemote", "BytecodeVerificationLocal")),
            flagged(
                *set_to("false", "environment", "UseSignalChaining"),
                *set_to("10000", "default", "SafepointTimeoutDelay"),
            ),
            flagged(*set_to("true", "config file", "AllowUserSignalHandlers")),
            flagged(*set_to("true", "command line, ergonomic", "UseJVMCICompiler")),
            msgspec.structs.replace(JNI_CRASH, jvm=state(arguments=("-Xmx1g", "-Xverify:none"))),
            msgspec.structs.replace(JNI_CRASH, jvm=state(arguments=("-XX:-UseSignalChaining",))),
        ),
        (
            flagged(*set_to("true", "jimage", "UseJVMCICompiler", "EagerJVMCI")),
            flagged(
                *set_to("false", "default", "UseSignalChaining"), *set_to("true", "ergonomic", "ReduceSignalUsage")
            ),
            flagged(*set_to("false", "command line", "UsePerfData", "DisableExplicitGC", "AllowUserSignalHandlers")),
            flagged(*set_to("true", "command line", "DisableAttachMechanism", "BytecodeVerificationRemote")),
            flagged(
                *set_to("67108864", "command line", "MaxHeapSize"), *set_to("8388608", "ergonomic", "InitialHeapSize")
            ),
        ),
        (flagged(*set_to("false", None, "BytecodeVerificationRemote")), flagged(), report(jvm=Jvm()), report()),
    ),
}
