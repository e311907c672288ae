"""The VM's threads: Java threads with names and states, and those of the VM itself.

Source: HotSpot share/runtime/{javaThread,nonJavaThread,threadSMR,osThread}.hpp (thread.hpp before JDK 17) and
java/lang/Thread.java. A thread of the core is found by its stack pointer, which lies in the stack that the VM
noted; the tid that OSThread holds is the one the process saw, and another pid namespace may number otherwise.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.runtimes.hotspot.layout.reading import problem
from postmortem.runtimes.hotspot.threads.list import java_threads
from postmortem.runtimes.hotspot.x86_64.frames import Anchor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterator, Mapping

    from postmortem.model import Problem
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_THREADS = LIMITS.threads_threads
_MAX_NAME = LIMITS.threads_name
_MAX_STACK = LIMITS.threads_stack
_MARK_SEARCHED = LIMITS.threads_mark_searched
_MOST_LINES = 50_000
_DESCRIPTOR_SIZE = 2304
"""sizeof(struct pthread) of glibc on x86-64, which differs by version by a few words."""
_WATCHER = "VM Periodic Task Thread"
_THREAD_STATES = {
    0: "_thread_uninitialized",
    2: "_thread_new",
    4: "_thread_in_native",
    6: "_thread_in_vm",
    8: "_thread_in_Java",
    10: "_thread_blocked",
}
_ALIVE, _TERMINATED, _RUNNABLE, _BLOCKED, _WAITING, _TIMED = 0x1, 0x2, 0x4, 0x400, 0x10, 0x20
"""Bits of java.lang.Thread's status: jdk.internal.misc.VM (sun.misc.VM before JDK 9) toThreadState."""


class VmThread(NamedTuple):
    """A thread of the VM. address: Thread*; tid: in the core, where it could be found there.

    name: of a Java thread its own, of any other the VM's. kind: C++ class, where libjvm's symbols tell it.
    oop: the java.lang.Thread object. virtual: the java.lang.VirtualThread mounted on it, with its name and
    threadId(). stack: [low, high).
    pending, waiting: ObjectMonitor* that it wants to enter, or waits on.
    """

    address: int
    tid: int | None
    name: str | None
    kind: str | None = None
    is_java: bool = False
    daemon: bool | None = None
    state: str | None = None
    thread_state: str | None = None
    java_tid: int | None = None
    oop: int | None = None
    virtual: int | None = None
    virtual_name: str | None = None
    virtual_tid: int | None = None
    low: int = 0
    high: int = 0
    anchor: Anchor | None = None
    pending: int | None = None
    waiting: int | None = None
    pending_exception: str | None = None


class ThreadTable:
    """All threads of a VM."""

    def __init__(
        self, threads: list[VmThread], preserved: Callable[[int, int], str | None] = lambda _, __: None
    ) -> None:
        """preserved: an exception put aside by the thread of an address, above a stack pointer."""
        self.threads = threads
        self.preserved = preserved
        self.by_tid = {thread.tid: thread for thread in threads if thread.tid is not None}
        self.by_address = {thread.address: thread for thread in threads}
        self.by_oop = {thread.oop: thread for thread in threads if thread.oop}

    def holding(self, address: int) -> VmThread | None:
        """The thread on whose stack an address lies."""
        return next((thread for thread in self.threads if thread.low <= address < thread.high), None)


def read_threads(
    vm: Reading,
    oops: Oops,
    symbol: Callable[[str], int | None],
    vtables: Callable[[int], str | None],
    native: Mapping[int, tuple[int, int]],
) -> tuple[ThreadTable, list[Problem]]:
    """Every thread that the VM knows. native: tid → (stack pointer, thread pointer) of the core's threads."""
    reader = _Reader(vm, oops, vtables, native)
    found = [reader.java(address) for address in java_threads(vm)]
    problems = []
    if not found:
        problems.append(problem("Threads", "the VM's list of threads is empty or can't be read"))
    others = list(_others(vm, symbol))
    if others:
        found += [reader.other(address) for address in others]
    else:
        found += reader.started({thread.tid for thread in found}, {vm.word(thread.address) for thread in found})
    return ThreadTable(found, reader.preserved), problems


def _others(vm: Reading, symbol: Callable[[str], int | None]) -> Iterator[int]:
    """Thread* of the threads that run no Java, since JDK 11: a list that is linked behind the Thread part."""
    thread = vm.word(symbol("_ZN13NonJavaThread9_the_listE"))
    size = vm.size("Thread")
    seen: set[int] = set()
    while thread and size and thread not in seen and len(seen) < _MAX_THREADS:
        seen.add(thread)
        yield thread
        thread = vm.word(thread + size)


class _Reader:
    def __init__(
        self,
        vm: Reading,
        oops: Oops,
        vtables: Callable[[int], str | None],
        native: Mapping[int, tuple[int, int]],
    ) -> None:
        self._vm = vm
        self._oops = oops
        self._vtables = vtables
        self._native = native
        pointers = sorted((sp, tid) for tid, (sp, _) in native.items())
        self._pointers = [sp for sp, _ in pointers]
        self._tids = [tid for _, tid in pointers]
        self._by_thread_pointer = {base: tid for tid, (_, base) in native.items() if base}
        self._kinds: dict[int, str | None] = {}
        klass = oops.well_known("Thread")
        self._thread_fields = {
            name: field.offset
            for name in ("name", "tid", "holder", "daemon", "threadStatus", "parkBlocker")
            if (field := oops.find_field(klass, name)) is not None and not field.static
        }
        self._holder_fields: dict[str, int] | None = None
        # Read of each of perhaps thousands of threads, so looked up once.
        self._stack_base = vm.offset("Thread._stack_base", "JavaThread._stack_base")
        self._stack_size = vm.offset("Thread._stack_size", "JavaThread._stack_size")
        self._state = vm.offset("JavaThread._thread_state")
        self._anchor = vm.offset("JavaThread._anchor")
        self._pending = vm.offset("JavaThread._current_pending_monitor", "Thread._current_pending_monitor")
        self._waiting = vm.offset("JavaThread._current_waiting_monitor", "Thread._current_waiting_monitor")
        self._exception = vm.offset("ThreadShadow._pending_exception")
        self._thread_oop = self._reference("JavaThread._threadObj")
        self._virtual_oop = self._reference("JavaThread._vthread")

    def _kind(self, address: int) -> str | None:
        table = self._vm.word(address)
        if not table:
            return None
        if table not in self._kinds:
            self._kinds[table] = self._vtables(table)
        return self._kinds[table]

    def _tid(self, address: int, low: int, high: int) -> int | None:
        """The core's tid of a thread: by its stack, by its pthread_t, or by the number that it had for itself."""
        at = bisect_left(self._pointers, low)
        if low and at < len(self._pointers) and self._pointers[at] < high:
            return self._tids[at]
        os_thread = self._vm.field(address, "Thread._osthread", "JavaThread._osthread")
        pthread = self._vm.field(os_thread, "OSThread._pthread_id")
        if pthread in self._by_thread_pointer:
            return self._by_thread_pointer[pthread]
        own = self._vm.u32(self._vm.at(os_thread, "OSThread._thread_id"))
        return own if own in self._native else None

    def other(self, address: int) -> VmThread:
        """A thread that runs no Java."""
        kind = self._kind(address)
        name = None
        if kind == "WatcherThread":
            # The one without a NamedThread part; jstack has its name as a constant, too.
            name = _WATCHER
        elif kind != "AsyncLogWriter":
            name = self._vm.text(self._vm.field(address, "NamedThread._name"), _MAX_NAME)
        return VmThread(address, self._tid(address, 0, 0), name, kind)

    def started(self, known: Container[int | None], java: Collection[int | None]) -> Iterator[VmThread]:
        """The threads that no list has: Thread* is what pthread_create passed on, so it is in libc's descriptor of
        the thread, and it is proved by the tid in its OSThread. java: vtables of known Java threads; a thread that
        runs Java is in no list, either, while the VM is being created."""
        vm = self._vm
        os_thread_at = vm.offset("Thread._osthread", "JavaThread._osthread")
        tid_at = vm.offset("OSThread._thread_id")
        if os_thread_at is None or tid_at is None:
            return
        for tid, (_, descriptor) in self._native.items():
            if tid in known or not descriptor:
                continue
            data = vm.memory.read_some(descriptor, _DESCRIPTOR_SIZE)
            for (address,) in struct.iter_unpack("<Q", data[: len(data) & ~7]):
                os_thread = vm.word(address + os_thread_at) if 0xFFFF < address < 1 << 47 else None
                if os_thread and vm.u32(os_thread + tid_at) == tid:
                    yield self._started(address, java)._replace(tid=tid)
                    break

    def _started(self, address: int, java: Collection[int | None]) -> VmThread:
        table, kind = self._vm.word(address), self._kind(address)
        if kind == "JavaThread" or (table and table in java):
            return self.java(address)
        thread = self.other(address)
        if thread.name and thread.name.isprintable():
            return thread
        # All have names but the one that is no NamedThread; where no class is known it must not be a Java thread.
        watcher = kind == "WatcherThread" or (kind is None and bool(java))
        return thread._replace(name=_WATCHER if watcher else None)

    def java(self, address: int) -> VmThread:
        """A JavaThread."""
        vm = self._vm
        high = self._word(address, self._stack_base) or 0
        size = self._word(address, self._stack_size) or 0
        low = high - size if 0 < size <= min(high, _MAX_STACK) else 0
        state = None if self._state is None else vm.i32(address + self._state)
        oop = self._oop(address, self._thread_oop) or None
        virtual = self._oop(address, self._virtual_oop) or None
        words = None if self._anchor is None else vm.memory.words(address + self._anchor, 3)
        virtual = virtual if virtual != oop else None
        name, java_tid, daemon, status = self._object(oop)
        virtual_name, virtual_tid, _, _ = self._object(virtual)
        return VmThread(
            address=address,
            tid=self._tid(address, low, high),
            name=name,
            kind=self._kind(address) or "JavaThread",
            is_java=True,
            daemon=daemon,
            state=None if status is None else thread_state(status),
            thread_state=None if state is None else _state_name(state),
            java_tid=java_tid,
            oop=oop,
            virtual=virtual,
            virtual_name=virtual_name or None,
            virtual_tid=virtual_tid,
            low=low,
            high=high if low else 0,
            anchor=Anchor(*words) if words is not None and words[0] else None,
            pending=self._word(address, self._pending),
            waiting=self._word(address, self._waiting),
            pending_exception=self._throwable(self._word(address, self._exception)),
        )

    def _throwable(self, oop: int | None) -> str | None:
        """Class and message of an exception."""
        name = self._oops.class_of(oop) if oop else None
        if name is None:
            return None
        message = self._oops.text(self._oops.oop_field(oop, "detailMessage"), _MAX_NAME)
        return f"{name}: {message}" if message else name

    def preserved(self, thread: int, sp: int) -> str | None:
        """An exception that an entry function of the VM put aside as it was called with that one pending.

        The mark on its stack: {Thread*, Handle, line, file} (utilities/preserveException.hpp).
        """
        data = self._vm.memory.read_some(sp & ~7, _MARK_SEARCHED)
        words = struct.unpack_from(f"<{len(data) // 8}Q", data)
        for index, word in enumerate(words[:-3]):
            if word != thread or not self._is_place(*words[index + 2 : index + 4]):
                continue
            handle = words[index + 1]
            oop = self._vm.word(handle) if handle > 0xFFFF and not handle & 7 else None
            if oop and self._oops.find_field(self._oops.klass(oop), "detailMessage") is not None:
                return self._throwable(oop)
        return None

    def _is_place(self, line: int, file: int) -> bool:
        """Line and file of HotSpot's source; the file's name may lie in a page that the core lacks."""
        text = self._vm.text(file, 512) if file > 0xFFFF else None
        return 0 < line & 0xFFFFFFFF < _MOST_LINES and file > 0xFFFF and (not text or text.endswith((".cpp", ".hpp")))

    def _word(self, address: int, offset: int | None) -> int | None:
        return None if offset is None else self._vm.memory.word(address + offset)

    def _reference(self, place: str) -> tuple[int, bool] | None:
        """The offset of a field that refers to an object, and whether through a handle."""
        offset = self._vm.offset(place)
        return None if offset is None else (offset, self._vm.type_string(place) == "OopHandle")

    def _oop(self, address: int, reference: tuple[int, bool] | None) -> int | None:
        if reference is None:
            return None
        offset, through_handle = reference
        if through_handle:
            return self._oops.handle(address + offset)
        raw = self._word(address, offset)
        return None if raw is None else self._oops.whole(raw)

    def _object(self, oop: int | None) -> tuple[str | None, int | None, bool | None, int | None]:
        """Name, tid, daemon and status of a java.lang.Thread; since JDK 19 the latter two are in its holder."""
        if not oop:
            return None, None, None, None
        fields = self._thread_fields
        name = self._oops.text(self._oops.load(oop + fields["name"]), _MAX_NAME) if "name" in fields else None
        java_tid = self._vm.word(oop + fields["tid"]) if "tid" in fields else None
        home: int | None = oop
        if "holder" in fields:
            home = self._oops.load(oop + fields["holder"])
            if self._holder_fields is None and home:
                klass = self._oops.klass(home)
                self._holder_fields = {
                    name: field.offset
                    for name in ("daemon", "threadStatus")
                    if (field := self._oops.find_field(klass, name)) is not None
                }
            fields = self._holder_fields or {}
        daemon = self._vm.byte(home + fields["daemon"]) if home and "daemon" in fields else None
        status = self._vm.i32(home + fields["threadStatus"]) if home and "threadStatus" in fields else None
        return name, java_tid, None if daemon is None else bool(daemon), status


def thread_state(status: int) -> str:
    """The java.lang.Thread.State of a thread status."""
    if status & _RUNNABLE:
        return "RUNNABLE"
    if status & _BLOCKED:
        return "BLOCKED"
    if status & _WAITING:
        return "WAITING"
    if status & _TIMED:
        return "TIMED_WAITING"
    if status & _TERMINATED:
        return "TERMINATED"
    return "RUNNABLE" if status & _ALIVE else "NEW"


def _state_name(state: int) -> str:
    name = _THREAD_STATES.get(state & ~1, f"state {state}")
    return f"{name}_trans" if state & 1 and state & ~1 in _THREAD_STATES else name
