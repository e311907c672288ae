"""Who waits for what, who holds it, and cycles of such waits.

Source: HotSpot share/runtime/{objectMonitor,synchronizer,lockStack}.hpp and java.util.concurrent's
AbstractOwnableSynchronizer. What ObjectMonitor::_owner holds depends on the version: a thread, the address of a
lock record on the owner's stack, the owner's java tid (JDK 24 and newer), or a mark that says the owner is
whose lock stack has the object. A virtual thread without a carrier may wait and hold like any other; its lock stack
is in the heap then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.model.jvm import INITIALIZATION, Deadlock, DeadlockMember
from postmortem.runtimes.hotspot.threads.classinit import Initializations
from postmortem.runtimes.hotspot.threads.threads import thread_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postmortem.model.thread import WaitKind
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading
    from postmortem.runtimes.hotspot.threads.threads import ThreadTable, VmThread
    from postmortem.runtimes.hotspot.threads.virtualthreads import VirtualThreads

_ANONYMOUS = 1
_MAX_LOCK_STACK = LIMITS.monitors_lock_stack
_VIRTUAL = "java.lang.VirtualThread"
_TERMINATED = "TERMINATED"
_READ_WRITE = "java.util.concurrent.locks.ReentrantReadWriteLock$"
_LATCH = "java.util.concurrent.CountDownLatch$Sync@"
_SHARED_SHIFT = 16
"""ReentrantReadWriteLock.Sync.SHARED_SHIFT: the read holds are in the upper half of the state."""


class Wait(NamedTuple):
    """What a thread waits for: an object, and its holder if it has one; or the end of a class' initialization, and the
    thread that runs it. text: "pkg.Class@0x…", "initialization of pkg.Class".

    kind: what the thread needs from held_by: that it lets go of a lock, or of its read holds of a lock; its end
    (Thread.join); the end of a class' initialization, or of the task that it runs. owned: it is a parked thread's.
    """

    text: str
    held_by: VmThread | None
    holder_name: str | None
    kind: WaitKind = "lock"
    parked: bool = False
    owner_ended: bool = False
    """The owner of a synchronizer is a thread that has ended."""


def waits(vm: Reading, oops: Oops, table: ThreadTable, virtual: VirtualThreads) -> dict[int, Wait]:
    """By Thread*, for all threads that want a monitor, wait on one, or are parked on a synchronizer; by the object's
    address for virtual threads without a carrier."""
    reader = _Monitors(vm, oops, table, virtual)
    found = {}
    for thread in (*table.threads, *virtual.waiting):
        if thread.is_java:
            wait = reader.wait(thread)
            if wait is not None:
                found[thread.address] = wait
    return found


def deadlocks(table: ThreadTable, found: dict[int, Wait], virtual: Iterable[VmThread] = ()) -> tuple[Deadlock, ...]:
    """Every cycle of threads that wait for one another, each once. virtual: virtual threads without a carrier."""
    finished: set[int] = set()
    cycles = []
    for start in (*table.threads, *virtual):
        path: list[VmThread] = []
        current: VmThread | None = start
        on_path: set[int] = set()
        while current is not None and current.address not in finished and current.address not in on_path:
            path.append(current)
            on_path.add(current.address)
            wait = found.get(current.address)
            current = None if wait is None else wait.held_by
        if current is not None and current.address in on_path:
            first = next(index for index, thread in enumerate(path) if thread.address == current.address)
            wait = found[current.address]
            # A monitor can be entered again by its owner; what is being handed over looks as if it could not. A thread
            # that joins itself does so to stay.
            if len(path) - first > 1 or (wait.parked and wait.kind != "join"):
                cycles.append(Deadlock(threads=tuple(_member(thread, found) for thread in path[first:])))
        finished |= on_path
    return tuple(cycles)


def _member(thread: VmThread, found: dict[int, Wait]) -> DeadlockMember:
    wait = found[thread.address]
    return DeadlockMember(
        name=_label(thread),
        tid=thread.tid,
        java_tid=thread.java_tid if thread.tid is None else thread.virtual_tid,
        waiting_for=wait.text,
        held_by=wait.holder_name,
        kind=wait.kind,
    )


def _label(thread: VmThread) -> str:
    if thread.name or thread.tid is not None:
        return thread.name or f"thread {thread.tid}"
    return f"virtual thread #{thread.java_tid}"


class _Monitors:
    def __init__(self, vm: Reading, oops: Oops, table: ThreadTable, virtual: VirtualThreads) -> None:
        self._vm = vm
        self._oops = oops
        self._table = table
        self._virtual = virtual
        self._by_oop = {thread.address: thread for thread in virtual.waiting}
        # Who runs a virtual thread waits for what that waits for.
        self._by_oop |= {thread.virtual: thread for thread in table.threads if thread.virtual}
        self._by_oop |= table.by_oop
        # Since JDK 17 a monitor has its object behind a weak handle; the list of monitors in use came with it.
        self._weak = vm.offset("ObjectMonitor._next_om") is not None
        self._by_owner_id = vm.type_string("ObjectMonitor._owner") == "int64_t"
        self._anonymous = vm.constant("ObjectMonitor::ANONYMOUS_OWNER") or _ANONYMOUS
        self._initializations = Initializations(vm, oops)
        self._owner_ids: dict[int, VmThread] | None = None
        self._held: dict[int, VmThread] | None = None
        self._terminations: dict[int, VmThread] | None = None
        self._blocker = oops.find_field(oops.well_known("Thread"), "parkBlocker")

    def wait(self, thread: VmThread) -> Wait | None:
        """What a thread waits for."""
        monitor = thread.pending or thread.waiting
        if monitor:
            target = self._object(monitor)
            text = self._text(target)
            if text is None:
                return None
            initialization = self._initializations.behind(target)
            if initialization is not None:
                name, initializer = initialization
                holder = self._table.by_address.get(initializer)
                return Wait(INITIALIZATION + name, holder, self._name(holder, None), "initialization")
            if not thread.pending:
                # Object.wait() has let go of the monitor: a notification is what it wants, not the holder's leave.
                # A thread's end notifies those who wait on its object, as Thread.join() does.
                ending = self._table.by_oop.get(target or 0)
                return Wait(text, ending, self._name(ending, None), "join")
            return Wait(text, *self._owner(monitor, target))
        if thread.oop and self._blocker is not None and thread.state in ("WAITING", "TIMED_WAITING"):
            blocker = self._oops.load((thread.virtual or thread.oop) + self._blocker.offset)
            text = self._text(blocker)
            if text is not None:
                return self._parked(text, blocker)
        return None

    def _parked(self, text: str, blocker: int | None) -> Wait:
        """What a parked thread waits for: its blocker is a synchronizer, or the task whose result it wants."""
        oops = self._oops
        owner = oops.oop_field(blocker, "exclusiveOwnerThread")
        if owner:
            holder, name = self._of_oop(owner)
            return Wait(text, holder, name, parked=True, owner_ended=holder is None and self._has_ended(owner))
        if text.startswith(_READ_WRITE):
            reader = oops.oop_field(blocker, "firstReader")
            if reader and self._read_holds(blocker):
                return Wait(text, *self._of_oop(reader), "read-lock", parked=True)
        elif oops.find_field(oops.klass(blocker), "runner") is not None and text.startswith("java.util.concurrent."):
            # FutureTask and what extends it: NEW until it has a result.
            runner = oops.oop_field(blocker, "runner")
            if runner and self._vm.u32(oops.place(blocker, "state")) == 0:
                return Wait(text, *self._of_oop(runner), "task", parked=True)
        elif text.startswith(_LATCH):
            ending = self._ends().get(blocker or 0)
            return Wait(text, ending, self._name(ending, None), "join" if ending else "lock", parked=True)
        return Wait(text, None, None, parked=True)

    def _has_ended(self, thread: int) -> bool:
        """Whether a java.lang.Thread is TERMINATED, by its status, since JDK 19 in its holder; a virtual thread has a
        state."""
        oops = self._oops
        if oops.class_of(thread) == _VIRTUAL:
            return self._virtual.state(thread) == _TERMINATED
        place = oops.place(oops.oop_field(thread, "holder") or thread, "threadStatus")
        status = self._vm.i32(place)
        return status is not None and thread_state(status) == _TERMINATED

    def _read_holds(self, synchronizer: int | None) -> int:
        """Holds of the read lock: the upper half of the state, an int, since JDK 25 a long."""
        field = self._oops.find_field(self._oops.klass(synchronizer), "state")
        if field is None or not synchronizer:
            return 0
        if field.signature == "J":
            return (self._vm.word(synchronizer + field.offset) or 0) >> 32
        return (self._vm.u32(synchronizer + field.offset) or 0) >> _SHARED_SHIFT

    def _ends(self) -> dict[int, VmThread]:
        """Virtual threads by the latch on which those wait who join them."""
        if self._terminations is None:
            self._terminations = {}
            for oop, thread in self._by_oop.items():
                latch = self._oops.oop_field(self._oops.oop_field(oop, "termination"), "sync")
                if latch:
                    self._terminations[latch] = thread
        return self._terminations

    def _object(self, monitor: int) -> int | None:
        at = self._vm.at(monitor, "ObjectMonitor._object")
        if self._weak:
            return self._oops.handle(at)
        raw = self._vm.word(at)
        return None if raw is None else self._oops.whole(raw)

    def _text(self, target: int | None) -> str | None:
        name = self._oops.class_of(target)
        return None if name is None else f"{name}@{target:#x}"

    def _owner(self, monitor: int, target: int | None) -> tuple[VmThread | None, str | None]:
        raw = self._vm.field(monitor, "ObjectMonitor._owner")
        if not raw:
            return None, None
        if raw == self._anonymous:
            holder = self._lock_stacks().get(target or 0)
            if holder is None:
                # With lock records on stacks (-XX:LockingMode=1 in JDK 24 and 25).
                record = self._vm.field(monitor, "ObjectMonitor._stack_locker")
                holder = self._table.holding(record) if record else None
            if holder is None and target:
                return self._of_oop(self._virtual.locking(target))
            return holder, self._name(holder, None)
        if self._by_owner_id:
            holder = self._ids().get(raw)
            if holder is None:
                holder, name = self._of_oop(self._virtual.named(raw))
                return holder, name or f"thread #{raw}"
            return holder, self._name(holder, None)
        holder = self._table.by_address.get(raw) or self._table.holding(raw)
        return holder, self._name(holder, None)

    def _of_oop(self, oop: int | None) -> tuple[VmThread | None, str | None]:
        """The thread that a java.lang.Thread object is, if it may wait, and its name."""
        if not oop:
            return None, None
        holder = self._by_oop.get(oop)
        if holder is not None and holder.virtual != oop:
            return holder, self._name(holder, None)
        name = self._name(None, oop)
        if not name and self._oops.class_of(oop) == _VIRTUAL:
            name = f"virtual thread #{self._vm.word(self._oops.place(oop, 'tid'))}"
        return holder, name

    def _name(self, holder: VmThread | None, oop: int | None) -> str | None:
        if holder is not None:
            return _label(holder)
        return self._oops.text(self._oops.oop_field(oop, "name"), 4096) if oop else None

    def _ids(self) -> dict[int, VmThread]:
        """Threads by the number that stands for them in monitors."""
        if self._owner_ids is None:
            self._owner_ids = {}
            for thread in self._table.threads:
                number = self._vm.field(thread.address, "JavaThread._monitor_owner_id") if thread.is_java else None
                if number:
                    self._owner_ids[number] = thread
        return self._owner_ids

    def _lock_stacks(self) -> dict[int, VmThread]:
        """Threads by the objects that they have locked without a monitor."""
        if self._held is None:
            self._held = {}
            vm = self._vm
            stack_at, base_at = vm.offset("JavaThread._lock_stack"), vm.offset("LockStack._base[0]")
            for thread in self._table.threads:
                if not thread.is_java or stack_at is None or base_at is None:
                    continue
                top = vm.u32(vm.at(thread.address + stack_at, "LockStack._top"))
                start = stack_at + base_at
                if top is not None and start < top <= start + _MAX_LOCK_STACK:
                    for raw in vm.memory.words(thread.address + start, (top - start) // 8) or ():
                        # Without colours, unlike references in the heap.
                        moved = self._oops.relocations
                        self._held[raw if moved is None else moved.current(raw)] = thread
        return self._held
