"""The state of a HotSpot JVM."""

from __future__ import annotations

import msgspec

from postmortem.model.address import Address
from postmortem.model.thread import Frame, WaitKind


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """A VM flag; `origin` in words: default, command line, ergonomic, …"""

    name: str
    value: str
    origin: str | None = None


class HeapSpace(msgspec.Struct, frozen=True, kw_only=True):
    """A space, generation or region kind of the heap; bytes."""

    name: str
    capacity: int | None = None
    used: int | None = None
    start: Address | None = None
    end: Address | None = None
    regions: int | None = None


class Heap(msgspec.Struct, frozen=True, kw_only=True):
    """The Java heap; bytes."""

    collector: str | None = None
    capacity: int | None = None
    used: int | None = None
    maximum: int | None = None
    spaces: tuple[HeapSpace, ...] = ()
    collections: int | None = None
    gc_active: bool | None = None
    full_collections: int | None = None
    full_seconds: float | None = None
    full_share: float | None = None
    since_full: float | None = None
    """Collections of the whole heap, the seconds they took, the part of the time since the start that these are, and
    the seconds since the last one ended, 0 while one runs; of collectors that stop for them (hsperfdata)."""
    last_cause: str | None = None
    """Why the last collection was begun, in the VM's words."""


class CodeSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A code heap; bytes."""

    name: str
    start: Address
    end: Address
    capacity: int
    used: int | None = None
    free: int | None = None


class CodeCache(msgspec.Struct, frozen=True, kw_only=True):
    """The code cache; bytes."""

    segments: tuple[CodeSegment, ...] = ()
    reserved: int | None = None
    used: int | None = None
    nmethods: int | None = None
    compilation: str | None = None
    """Whether the JIT compilers were running: enabled, disabled and why, in the VM's words."""


class Metaspace(msgspec.Struct, frozen=True, kw_only=True):
    """Metaspace; bytes. class_* is the compressed class space."""

    used: int | None = None
    committed: int | None = None
    maximum: int | None = None
    class_used: int | None = None
    class_committed: int | None = None
    class_maximum: int | None = None
    loaders: int | None = None
    classes: int | None = None


class Safepoint(msgspec.Struct, frozen=True, kw_only=True):
    """state: not synchronized, synchronizing, synchronized.

    waited: seconds for which the VM had been synchronizing when it began to report an error, or when the process ended.
    """

    state: str | None = None
    waiting_to_block: int | None = None
    waited: float | None = None


class Compilation(msgspec.Struct, frozen=True, kw_only=True):
    """A method being compiled when the core was taken."""

    thread: str | None = None
    tid: int | None = None
    method: str | None = None
    level: int | None = None
    osr_bci: int | None = None
    compile_id: int | None = None


INITIALIZATION = "initialization of "
"""What a thread waits for begins so where it is not a lock but the end of a class' static initializer."""


class DeadlockMember(msgspec.Struct, frozen=True, kw_only=True):
    """A thread in a cycle: waits for an object held by the thread named, or for a class that it initializes.

    java_tid: Thread.threadId() of a virtual thread; one that is not mounted has no tid. kind: what it needs from
    held_by.
    """

    name: str
    tid: int | None = None
    java_tid: int | None = None
    waiting_for: str | None = None
    held_by: str | None = None
    kind: WaitKind | None = None


class Deadlock(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle of threads, in waiting order."""

    threads: tuple[DeadlockMember, ...]


class ThreadPool(msgspec.Struct, frozen=True, kw_only=True):
    """A java.util.concurrent.ThreadPoolExecutor with a worker that waits.

    workers: their tids. queued: tasks in its queue. core, maximum: the threads that it keeps and may have.
    """

    address: Address
    workers: tuple[int, ...]
    queued: int | None = None
    core: int | None = None
    maximum: int | None = None


class HistogramEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Instances of one class and their bytes."""

    class_: str = msgspec.field(name="class")
    instances: int
    bytes: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a VM event ring; time in seconds since VM start."""

    time: float | None = None
    thread: str | None = None
    text: str


class EventLog(msgspec.Struct, frozen=True, kw_only=True):
    """A VM event ring, oldest first."""

    name: str
    events: tuple[Event, ...]


class VmError(msgspec.Struct, frozen=True, kw_only=True):
    """What VMError recorded: the id (signal number or internal code), message, source position."""

    id: int | None = None
    message: str | None = None
    detail: str | None = None
    file: str | None = None
    line: int | None = None
    size: int | None = None
    """Bytes asked for, of a failed native allocation."""
    object_class: str | None = None
    object_size: int | None = None
    """The Java object for which there was no room: its class (an array's as "byte[]") and bytes."""


class FailedThread(msgspec.Struct, frozen=True, kw_only=True):
    """A thread that the system refused to start. error: errno's name."""

    name: str | None = None
    error: str | None = None
    text: str


class VirtualThread(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual thread that is not mounted on a carrier; state: of java.lang.VirtualThread.

    frames: innermost first, from its stack chunks in the heap. count: how many have this very stack and state;
    name and java_tid are the first one's. blocked_on, blocked_by: as of a JavaThread; those who wait for different
    holders are listed apart.
    """

    name: str | None = None
    java_tid: int | None = None
    state: str | None = None
    frames: tuple[Frame, ...] = ()
    count: int = 1
    blocked_on: str | None = None
    blocked_by: str | None = None
    owner_ended: bool | None = None


class ClassLoader(msgspec.Struct, frozen=True, kw_only=True):
    """A class loader and how many classes it loaded."""

    name: str
    classes: int


class DirectMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Direct ByteBuffers as java.nio.Bits counts them: bytes reserved and allowed, and how many buffers."""

    used: int | None = None
    maximum: int | None = None
    buffers: int | None = None


class SignalHandler(msgspec.Struct, frozen=True, kw_only=True):
    """What handles a signal. `expected`: false when the JVM noticed that its own handler was replaced."""

    signal: str
    handler: str | None = None
    library: str | None = None
    expected: bool | None = None


class DamagedObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object of the heap that a register led to at the fault, and that has no class any more.

    words: its first bytes. after: the primitive array that ends where it begins: "int[62] @0xfc086bd8". marked: the
    collector has put its mark in the place of the first word.
    """

    register: str
    address: Address
    words: str
    after: str
    marked: bool = False


class Jvm(msgspec.Struct, frozen=True, kw_only=True):
    """A HotSpot JVM as its own tables describe it. `tier`: what could be used (tables, tables+symtab)."""

    version: str | None = None
    name: str | None = None
    vendor: str | None = None
    tier: str | None = None
    java_command: str | None = None
    arguments: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    properties: dict[str, str] = {}
    heap: Heap | None = None
    code_cache: CodeCache | None = None
    metaspace: Metaspace | None = None
    safepoint: Safepoint | None = None
    vm_operation: str | None = None
    error: VmError | None = None
    direct_memory: DirectMemory | None = None
    signal_handlers: tuple[SignalHandler, ...] = ()
    uptime: float | None = None
    """Seconds from the start of the VM to the crash."""
    build: str | None = None
    """The VM's own long version line, with its build date."""
    compilations: tuple[Compilation, ...] = ()
    deadlocks: tuple[Deadlock, ...] = ()
    thread_pools: tuple[ThreadPool, ...] = ()
    absent_threads: int | None = None
    """Java threads on the VM's list that the process has not: fork() takes over only the thread that calls it."""
    class_loaders: tuple[ClassLoader, ...] = ()
    events: tuple[EventLog, ...] = ()
    virtual_threads: tuple[VirtualThread, ...] = ()
    """The unmounted ones, those with equal stacks together; mounted ones are on their carriers' stacks."""
    virtual_thread_states: dict[str, int] = {}
    """How many virtual threads that no carrier runs are in each state of java.lang.VirtualThread."""
    damaged: tuple[DamagedObject, ...] = ()
    finalizer_queue: int | None = None
    """Objects that wait for their finalize() to be run, where the thread that does that is blocked."""
    counters: dict[str, str] = {}
    """hsperfdata counters."""
    runtime: str | None = None
    """The version of the JDK that the VM belongs to, in its own words: 8.0_392-b08, 17.0.9+9. Up to JDK 8 the VM counts
    its own versions."""
    exception_counts: dict[str, int] = {}
    """How many OutOfMemoryErrors and StackOverflowErrors were thrown, by the VM's names for their kinds."""
    failed_threads: tuple[FailedThread, ...] = ()
    warnings: tuple[str, ...] = ()
    """What the VM wrote to the console before it ended."""
    vm_locks: tuple[str, ...] = ()
    """The VM's own locks that were held: name and owner."""
    agents: tuple[str, ...] = ()
    """JVMTI agents."""
    native_memory: dict[str, int] = {}
    """Bytes committed by kind, where native memory tracking is on."""
    compressed_oops: str | None = None
    """Where the heap lies and how references to it are packed, in words."""
    notes: tuple[str, ...] = ()
    """Further statements of the VM on the crash."""
    details: dict[str, str] = {}
    """Further facts by the VM's own names: the collector's log of its start, archives, JNI references, …"""
    histogram: tuple[HistogramEntry, ...] | None = None
