"""The virtual threads that the JDK keeps track of: those without a carrier, and what they wait for.

Source: java.base jdk/internal/vm/ThreadContainers.java, java/lang/VirtualThread.java and HotSpot
share/runtime/objectMonitor.hpp. A virtual thread that wants a monitor or waits on one without its carrier (JDK 24
and newer) has an ObjectWaiter in a field of the VM's own, which no table names: {next, prev, JavaThread* (null here),
OopHandle of the virtual thread, ObjectMonitor*, …}. That handle proves it.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.runtimes.hotspot.layout.classes import boot_classes
from postmortem.runtimes.hotspot.layout.reading import problem
from postmortem.runtimes.hotspot.threads.threads import VmThread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from postmortem.model import Problem
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading
    from postmortem.runtimes.hotspot.stack.continuation import Continuations
    from postmortem.unwind.frame import RawFrame

_MAX_LISTED = LIMITS.virtualthreads_listed
_MAX_WALKED = LIMITS.virtualthreads_walked
_MAX_CHAIN = LIMITS.virtualthreads_chain
_MAX_OBJECT = LIMITS.virtualthreads_object
_NO_STATES = ("SUSPENDED", "TRACE_PINNING_MODE")
_STATE_BITS = 0xFF
_ROOT = "jdk/internal/vm/ThreadContainers$RootContainer$TrackingRootContainer"
_WAITING = {
    "BLOCKED": "BLOCKED",
    "WAIT": "WAITING",
    "TIMED_WAIT": "TIMED_WAITING",
    "PARKED": "WAITING",
    "TIMED_PARKED": "TIMED_WAITING",
}
"""java.lang.VirtualThread's states without a carrier as java.lang.Thread.State has them."""
_ON_MONITOR = ("BLOCKED", "WAIT", "TIMED_WAIT")
_WAITER_THREAD, _WAITER_VIRTUAL, _WAITER_MONITOR = 16, 24, 32


class Unmounted(NamedTuple):
    """Virtual threads with one stack: name and Thread.threadId() of the first, and their number.

    blocked_on, blocked_by: what all of them wait for, and the name of its holder.
    """

    name: str | None
    tid: int | None
    state: str | None
    frames: tuple[RawFrame, ...]
    number: int
    blocked_on: str | None = None
    blocked_by: str | None = None
    owner_ended: bool = False


class VirtualThreads:
    """The virtual threads of one VM. mounted: the objects of those that a carrier runs."""

    def __init__(self, vm: Reading, oops: Oops, continuations: Continuations, mounted: Collection[int]) -> None:
        self._vm = vm
        self._oops = oops
        self._continuations = continuations
        self._mounted = mounted
        self._states: dict[int, dict[int, str]] = {}
        self._waiter_at: int | None = None
        self.problems: list[Problem] = []

    @cached_property
    def all(self) -> list[tuple[int, str | None]]:
        """(java.lang.VirtualThread object, state) of all that are tracked; JDK 21 and newer."""
        if self._vm.offset("JavaThread._vthread") is None:
            return []
        root = boot_classes(self._vm, self._oops, (_ROOT,)).get(_ROOT)
        if root is None:
            return []
        threads = self._oops.static_oop(root, "VTHREADS")
        if not threads:
            what = "the set of virtual threads can't be read: unmounted ones are not listed"
            self.problems.append(problem(_ROOT, what))
            return []
        return [(thread, self.state(thread)) for thread in self._members(threads)]

    def state(self, thread: int) -> str | None:
        """The name of VirtualThread.state's value, from that class' own constants, with the suspend bit off."""
        klass = self._oops.klass(thread)
        value = self._vm.i32(self._oops.place(thread, "state"))
        if value is None or klass is None:
            return None
        if klass not in self._states:
            self._states[klass] = {}
            mirror = self._oops.mirror(klass)
            for field in self._oops.declared(klass) if mirror else ():
                is_state = field.static and field.signature == "I" and field.name not in _NO_STATES
                number = self._vm.i32((mirror or 0) + field.offset) if is_state else None
                if number is not None:
                    self._states[klass].setdefault(number, field.name)
        return self._states[klass].get(value & _STATE_BITS)

    @cached_property
    def waiting(self) -> list[VmThread]:
        """Those without a carrier that want a monitor, wait on one, or are parked on a synchronizer: as threads that
        no Thread* stands for, so that their object's address is theirs."""
        found = []
        for thread, state in self.all:
            if state not in _WAITING or thread in self._mounted:
                continue
            monitor = self._monitor(thread) if state in _ON_MONITOR else None
            if monitor is None and not self._oops.oop_field(thread, "parkBlocker"):
                continue
            found.append(
                VmThread(
                    address=thread,
                    tid=None,
                    name=self._oops.text(self._oops.oop_field(thread, "name")),
                    is_java=True,
                    state=_WAITING[state],
                    java_tid=self._vm.word(self._oops.place(thread, "tid")),
                    oop=thread,
                    pending=monitor if state == "BLOCKED" else None,
                    waiting=None if state == "BLOCKED" else monitor,
                )
            )
        return found

    def _monitor(self, thread: int) -> int | None:
        """The ObjectMonitor* that a virtual thread without a carrier wants or waits on."""
        klass = self._oops.klass(thread) or 0
        size = self._oops.layout_helper(klass) or 0
        if not 0 < size <= _MAX_OBJECT:
            return None
        for at in range(8, size & ~7, 8) if self._waiter_at is None else (self._waiter_at,):
            waiter = self._vm.word(thread + at)
            if (
                waiter
                and waiter & 7 == 0
                and self._vm.word(waiter + _WAITER_THREAD) == 0
                and self._oops.handle(waiter + _WAITER_VIRTUAL) == thread
            ):
                self._waiter_at = at
                return self._vm.word(waiter + _WAITER_MONITOR) or None
        return None

    def named(self, number: int) -> int | None:
        """The object of the one with this Thread.threadId()."""
        return self._by_number.get(number)

    @cached_property
    def _by_number(self) -> dict[int | None, int]:
        return {self._vm.word(self._oops.place(thread, "tid")): thread for thread, _ in self.all}

    def locking(self, target: int) -> int | None:
        """The object of the one without a carrier whose lock stack has an object."""
        return self._by_locked.get(target)

    @cached_property
    def _by_locked(self) -> dict[int, int]:
        return {
            locked: thread
            for thread, _ in self.all
            if thread not in self._mounted
            for locked in self._continuations.locked(thread)
        }

    def states(self) -> dict[str, int]:
        """How many without a carrier are in each state."""
        return dict(Counter(state for thread, state in self.all if state and thread not in self._mounted))

    def unmounted(self, wait_of: Callable[[int], tuple[str, str | None, bool] | None]) -> list[Unmounted]:
        """Those that have a stack in the heap, the ones with equal stacks and one holder to wait for together.

        wait_of: what one waits for, the name of its holder, and whether that has ended.
        """
        groups: dict[tuple[object, ...], Unmounted] = {}
        numbers: dict[tuple[object, ...], int] = {}
        known: dict[int, tuple[tuple[RawFrame, ...], int]] = {}
        walked, left_out = 0, 0
        for thread, state in self.all:
            if walked >= _MAX_WALKED:
                left_out += 1
                continue
            frames = self._continuations.alike(thread)
            if not frames:
                continue
            walked += 1
            if id(frames) not in known:
                stack = tuple((frame.pc, frame.virtual) for frame in frames)
                known[id(frames)] = frames, numbers.setdefault(stack, len(numbers))
            on, by, ended = wait_of(thread) or (None, None, False)
            key = (state, known[id(frames)][1], on if by else None, by)
            group = groups.get(key)
            if group is None:
                name = self._oops.text(self._oops.oop_field(thread, "name"))
                tid = self._vm.word(self._oops.place(thread, "tid"))
                groups[key] = Unmounted(name, tid, state, frames, 1, on, by, ended)
            else:
                same = on if on == group.blocked_on else None
                groups[key] = group._replace(number=group.number + 1, blocked_on=same)
        if left_out:
            what = f"stacks of {walked} of {len(self.all)} virtual threads were read"
            self.problems.append(problem("virtual threads", what))
        return sorted(groups.values(), key=lambda group: -group.number)

    def _members(self, threads: int) -> Iterator[int]:
        """Keys of a ConcurrentHashMap.KeySetView."""
        table = self._oops.oop_field(self._oops.oop_field(threads, "map") or threads, "table")
        count = 0
        for bucket in self._oops.elements(table, _MAX_LISTED) if table else ():
            node: int | None = self._oops.oop_field(bucket, "first") or bucket
            for _ in range(_MAX_CHAIN):
                if not node or count >= _MAX_LISTED:
                    break
                thread = self._oops.oop_field(node, "key")
                if thread:
                    count += 1
                    yield thread
                node = self._oops.oop_field(node, "next")
