"""Threads and their frames."""

from __future__ import annotations

from typing import Literal

import msgspec

from postmortem.model.address import Address

Kind = Literal["native", "java-interpreted", "java-compiled", "stub", "signal", "unknown"]
Trust = Literal["context", "cfi", "frame-pointer", "hotspot", "scan"]
WaitKind = Literal["lock", "read-lock", "join", "initialization", "task"]
"""What a Java thread needs from another: a lock, its read holds of one, its end, that of a class' initialization or of
the task that it runs."""
Ended = Literal["bottom", "no-progress", "unreadable", "no-rule", "limit", "no-registers"]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """An argument or a local variable of a frame.

    value: of a scalar or a string, as a program would take it: a decimal integer, "0x…" of a pointer, an
    enumerator, true or false, a string's content. text: as it is shown. points_to: what the target of a pointer or
    reference holds. unavailable: why there is no value: "optimized out", or what is missing.
    """

    name: str
    type: str | None = None
    value: str | None = None
    text: str
    points_to: str | None = None
    unavailable: str | None = None


class SourceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of source; `line` counts from 1."""

    line: int
    text: str


NO_NATIVE_FRAMES = "named by the log's head; the native frames below it are not in the log"
"""Note of a log's first frame where only Java frames follow."""
WALK_ENDED = "the JVM's walk of the native frames ended here"
"""The same where the log has that frame alone under its native frames."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One activation, or one function inlined into it (`inlined`: the activation is a later frame).

    `pc` is the address as found: a return address for all frames but the first and interrupted ones.
    `trust` says how the frame was reached from its callee. `function` of a Java frame reads
    pkg.Class.method. `module_offset` is pc minus the module's load address; `module` is a path. A log prints few of
    its frames' pc, and no sp but the first.
    """

    pc: Address | None
    sp: Address | None
    kind: Kind = "native"
    trust: Trust = "cfi"
    function: str | None = None
    module: str | None = None
    module_offset: Address | None = None
    file: str | None = None
    line: int | None = None
    inlined: bool = False
    bci: int | None = None
    compile_level: int | None = None
    note: str | None = None
    arguments: tuple[Value, ...] = ()
    locals: tuple[Value, ...] = ()
    """Of the first frames of the crashing thread, or of all threads; innermost block first."""
    source: tuple[SourceLine, ...] = ()
    """Around `line`, where the source is at hand and asked for."""
    native_library: str | None = None
    """The library that implements a native method."""
    linked_library: str | None = None
    """The C library (glibc, musl or libc) that the function was linked in from, of an executable without libc.so."""
    tail_call: str | None = None
    """What this frame's call instruction called, where that left by a tail call to the function of the frame above."""
    entered: str | None = None
    """The function of another module that this frame's call entered, where the frame above is in that module and has no
    name: it is that function's, or of one to which it left by a tail call."""


class Cycle(msgspec.Struct, frozen=True, kw_only=True):
    """A repeated run of frames: frames[start : start + period] repeats `count` times.

    left_out: how many of these turns are not in `frames`, whose next index is that of what follows the others.
    """

    start: int
    period: int
    count: int
    left_out: int = 0


class StackRange(msgspec.Struct, frozen=True, kw_only=True):
    """The mapping that holds the thread's stack pointer, [start, end)."""

    start: Address
    end: Address
    guard: Address | None = None
    """Lowest address of the no-access mapping just below, if there is one."""


class JavaThread(msgspec.Struct, frozen=True, kw_only=True):
    """What the VM knows of a thread. state: java.lang.Thread.State; thread_state: the VM's own."""

    name: str | None = None
    daemon: bool | None = None
    state: str | None = None
    thread_state: str | None = None
    kind: str | None = None
    """VM thread class: JavaThread, CompilerThread, VMThread, GC worker, …"""
    address: Address | None = None
    java_tid: int | None = None
    virtual_name: str | None = None
    virtual_tid: int | None = None
    """Name, where it has one, and Thread.threadId() of the virtual thread that is mounted on this one."""
    blocked_on: str | None = None
    """The monitor or synchronizer waited for: "java.lang.Object@0x…"."""
    blocked_by: str | None = None
    """The name of the thread that owns it."""
    owner_ended: bool | None = None
    """True where that thread has ended: its java.lang.Thread is TERMINATED."""
    wait_kind: WaitKind | None = None
    waits_for_tid: int | None = None
    """What it needs, and the thread it needs it from, which it can't go on without."""
    pending_exception: str | None = None
    """Class and message of an exception that was thrown and not yet delivered; of the crashing thread also of one
    that a function of JNI keeps on its stack, as it was called with that exception pending."""
    stack: StackRange | None = None
    """The stack that the VM gave the thread, its guard zones included; where sp is may be elsewhere."""
    critical: int | None = None
    """Of a thread in native code that did not crash: how many JNI critical sections it is in, where the VM counts
    them."""
    loop_polls: bool | None = None
    """While the VM waits for threads to stop: whether the loop of compiled code that this one is in looks for that."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """What a thread was blocked in, from its system call registers and the memory these point at.

    kind: mutex, rwlock, condvar, semaphore, barrier, join, future, park (of Rust's threads), futex, or "syscall" for
    any other system call.
    address: of the lock itself, whose futex word may be within it. owner: tid that the lock's memory names as its
    holder; of a join the thread that it waits for.
    """

    syscall: str
    kind: str
    address: Address | None = None
    owner: int | None = None
    owner_in_core: bool | None = None
    shared: bool | None = None
    """Whether the lock is shared between processes: its futex operation is not a private one."""
    timed: bool = False
    """The wait has a time limit, after which the thread goes on without what it waited for."""
    writing: bool | None = None
    """Of a read-write lock: whether it is wanted for writing."""
    readers: int | None = None
    """Of a read-write lock: how many readers hold it."""
    held: bool | None = None
    """Of a lock whose memory names no owner (Rust's): whether it is locked; None: it names one, or is no lock."""
    settled: bool | None = None
    """Whether the futex word still has the value that the thread waits on: no wake-up of it was under way."""


class RegisterNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a register's value points at, in words."""

    register: str
    value: Address
    text: str


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """A thread of the crashed process; the crashing one is first in the report.

    When the fault was unwrapped, `frames` starts at the original fault and `handler_frames` are the
    handler's own. `ended` names why the walk stopped, `ended_detail` with numbers. tid: None where a log shows a stack
    and not whose it is.
    """

    tid: int | None
    name: str | None = None
    crashed: bool = False
    registers: dict[str, Address] = {}
    stack: StackRange | None = None
    frames: tuple[Frame, ...] = ()
    handler_frames: tuple[Frame, ...] | None = None
    cycles: tuple[Cycle, ...] = ()
    ended: Ended = "bottom"
    ended_detail: str | None = None
    java: JavaThread | None = None
    wait: Wait | None = None
