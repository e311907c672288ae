"""Threads, what they wait for, and cycles of waits, in a made-up VM."""

from __future__ import annotations

import pytest

from postmortem.runtimes.hotspot.layout.oops import Oops
from postmortem.runtimes.hotspot.threads.monitors import Wait, deadlocks
from postmortem.runtimes.hotspot.threads.threads import ThreadTable, VmThread, read_threads, thread_state
from postmortem.runtimes.hotspot.vm.vmerror import vm_error, vm_error_on_stack
from tests.postmortem.runtimes.hotspot.state.vm import BASE, FakeVm

STACK, STACK_SIZE = 0x7E00_0000_0000, 0x10_0000


class Vm:
    """A VM of JDK 8's shape, whose Java threads are a linked list."""

    def __init__(self) -> None:
        self.vm = FakeVm()
        self.vm.instance(
            JavaThread___next=0, JavaThread___stack_base=8, JavaThread___stack_size=16, JavaThread___osthread=24,
            JavaThread___thread_state=32, JavaThread___anchor=40, OSThread___thread_id=4, OSThread___pthread_id=8,
            NamedThread___name=64,
        )  # fmt: skip
        self.made: list[int] = []

    def thread(self, tid: int, pthread: int = 0, state: int = 4) -> int:
        """A JavaThread, linked behind the one before; its stack is the next free one."""
        vm = self.vm
        address, os_thread = vm.room(128), vm.room(32)
        high = STACK + STACK_SIZE * (len(self.made) + 1)
        vm.put(address, "QQQQi", 0, high, STACK_SIZE, os_thread, state)
        vm.put(os_thread + 4, "I", tid)
        vm.put(os_thread + 8, "Q", pthread)
        if self.made:
            vm.put(self.made[-1], "Q", address)
        else:
            vm.static("Threads._thread_list", address)
        self.made.append(address)
        return address

    def started(self, tid: int, name: str | None = None, vtable: int = 0) -> int:
        """The descriptor of a thread that no list has."""
        vm = self.vm
        descriptor, address, os_thread = vm.room(2304), vm.room(128), vm.room(32)
        vm.put(address, "Q", vtable)
        vm.put(address + 24, "Q", os_thread)
        vm.put(os_thread + 4, "I", tid)
        vm.put(address + 64, "Q", vm.text(name) if name else 0)
        vm.put(descriptor + 0x640, "Q", address)
        return descriptor

    def read(self, native: dict[int, tuple[int, int]], kinds: dict[int, str] | None = None) -> ThreadTable:
        reading = self.vm.reading()
        table, _ = read_threads(reading, Oops(reading, {}), lambda _: None, (kinds or {}).get, native)
        return table


def stack(index: int) -> int:
    return STACK + STACK_SIZE * index + 0x8000


def test_the_stack_tells_the_tid_where_a_container_numbers_otherwise() -> None:
    vm = Vm()
    first, second = vm.thread(7), vm.thread(8)
    # The core's numbers are the host's, and one happens to be the other thread's own.
    table = vm.read({8: (stack(0), 0), 4711: (stack(1), 0)})
    assert (table.by_tid[8].address, table.by_tid[4711].address) == (first, second)


def test_on_another_stack_libc_s_descriptor_or_the_number_tells() -> None:
    vm = Vm()
    first, second = vm.thread(7, pthread=0x7D00_0000), vm.thread(8)
    table = vm.read({100: (0x1000, 0x7D00_0000), 8: (0x2000, 0x7C00_0000)})
    assert (table.by_tid[100].address, table.by_tid[8].address) == (first, second)
    assert vm.read({55: (0x1000, 0)}).by_tid == {}


def test_a_list_that_bites_its_tail_ends() -> None:
    vm = Vm()
    first, last = vm.thread(7), vm.thread(8)
    vm.vm.put(last, "Q", first)
    assert [thread.address for thread in vm.read({}).threads] == [first, last]


def test_vm_threads_are_found_through_their_descriptors() -> None:
    vm = Vm()
    vm.thread(7)
    descriptor, other = vm.vm.room(2304), vm.vm.room(128)
    os_thread = vm.vm.room(32)
    vm.vm.put(other + 24, "Q", os_thread)
    vm.vm.put(os_thread + 4, "I", 9)
    vm.vm.put(other + 64, "Q", vm.vm.text("VM Thread"))
    vm.vm.put(descriptor + 0x640, "Q", other)
    table = vm.read({7: (stack(0), 0), 9: (0x5000, descriptor)})
    assert (table.by_tid[9].name, table.by_tid[9].is_java) == ("VM Thread", False)
    # The same memory proves nothing for a thread with another number.
    assert 10 not in vm.read({7: (stack(0), 0), 10: (0x5000, descriptor)}).by_tid


def test_a_thread_without_a_name_is_the_watcher_only_if_it_is_no_java_thread() -> None:
    watcher = "VM Periodic Task Thread"
    vm = Vm()
    # Main, before it is in the list and has a java.lang.Thread.
    main, other, unknown = vm.started(7, vtable=16), vm.started(8, vtable=32), vm.started(9, vtable=48)
    native = {7: (0x1000, main), 8: (0x2000, other), 9: (0x3000, unknown)}
    table = vm.read(native, {16: "JavaThread", 32: "WatcherThread"})
    assert [(t.tid, t.name, t.kind, t.is_java) for t in table.threads] == [
        (7, None, "JavaThread", True),
        (8, watcher, "WatcherThread", False),
        (9, None, None, False),
    ]
    # Without symbols a Java thread that is known tells what one looks like; its first word is the next one's here.
    vm = Vm()
    vm.thread(5)
    like_a_java_thread = vm.thread(6)
    native = {7: (0x1000, vm.started(7, vtable=16)), 8: (0x2000, vm.started(8, vtable=like_a_java_thread))}
    table = vm.read(native)
    assert [(t.tid, t.name, t.is_java) for t in table.threads[2:]] == [(7, watcher, False), (8, None, True)]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0, "NEW"), (5, "RUNNABLE"), (225, "TIMED_WAITING"), (401, "WAITING"), (417, "TIMED_WAITING"),
        (657, "WAITING"), (673, "TIMED_WAITING"), (1025, "BLOCKED"), (2, "TERMINATED"),
    ],
)  # fmt: skip
def test_thread_states(status: int, state: str) -> None:
    assert thread_state(status) == state


@pytest.mark.parametrize(
    ("number", "words"),
    [(4, "_thread_in_native"), (5, "_thread_in_native_trans"), (8, "_thread_in_Java"), (99, "state 99")],
)
def test_vm_states(number: int, words: str) -> None:
    vm = Vm()
    vm.thread(7, state=number)
    assert vm.read({}).threads[0].thread_state == words


def named(number: int) -> VmThread:
    return VmThread(0x1000 * number, number, f"t{number}", is_java=True)


def cycles(edges: dict[int, int]) -> list[list[str]]:
    threads = {number: named(number) for number in {*edges, *edges.values()}}
    found = {
        threads[start].address: Wait(f"Lock@{start}", threads[end], threads[end].name) for start, end in edges.items()
    }
    table = ThreadTable(list(threads.values()))
    return [sorted(member.name for member in deadlock.threads) for deadlock in deadlocks(table, found)]


def test_cycles_are_deadlocks_and_chains_into_them_are_not() -> None:
    assert cycles({1: 2, 2: 1}) == [["t1", "t2"]]
    assert cycles({1: 2, 2: 3, 3: 1, 4: 1, 5: 4}) == [["t1", "t2", "t3"]]
    assert sorted(cycles({1: 2, 2: 1, 3: 4, 4: 3})) == [["t1", "t2"], ["t3", "t4"]]


def test_waiting_for_a_running_thread_or_for_itself_is_no_deadlock() -> None:
    assert cycles({1: 2, 2: 3}) == []
    assert cycles({1: 1}) == []


def test_virtual_threads_without_a_carrier_are_members_too() -> None:
    one, two = (VmThread(0x9000 + n, None, "", is_java=True, java_tid=n) for n in (21, 22))
    carrier = named(1)._replace(virtual=0xA000, virtual_tid=23)
    waiting = {one.address: two, two.address: carrier, carrier.address: one}
    found = {start: Wait("Lock@1", end, None) for start, end in waiting.items()}
    (deadlock,) = deadlocks(ThreadTable([carrier]), found, [one, two])
    assert [(member.name, member.tid, member.java_tid) for member in deadlock.threads] == [
        ("t1", 1, 23), ("virtual thread #21", None, 21), ("virtual thread #22", None, 22),
    ]  # fmt: skip


def test_vm_error_by_symbol() -> None:
    vm = FakeVm()
    symbols = {
        "_ZN7VMError3_idE": vm.static("x.1", 0xE0000000, "I"),
        "_ZN7VMError8_messageE": vm.static("x.2", vm.text("guarantee(x) failed")),
        "_ZN7VMError9_filenameE": vm.static("x.3", vm.text("heap.cpp")),
        "_ZN7VMError7_linenoE": vm.static("x.4", 42, "I"),
    }
    found = vm_error(vm.reading(), symbols.get)
    assert found is not None
    assert (found.id, found.message, found.file, found.line) == (0xE0000000, "guarantee(x) failed", "heap.cpp", 42)
    vm.put(symbols["_ZN7VMError3_idE"], "I", 0)
    assert vm_error(vm.reading(), symbols.get) is None


def test_vm_error_on_the_stack_needs_its_message_and_source() -> None:
    vm = FakeVm()
    words = vm.room(4096)
    vm.put(words + 64, "Q", 0xE0000000)
    place = words + 512
    vm.put(place, "QQQ", 0x7F00_E0000000, vm.text("fatal error"), vm.text("OutOfMemory encountered: Java heap space"))
    vm.put(place + 56, "QI", vm.text("src/share/vm/utilities/debug.cpp"), 308)
    found = vm_error_on_stack(vm.reading(), words)
    assert found is not None
    assert (found.message, found.line) == ("fatal error", 308)
    assert found.detail == "OutOfMemory encountered: Java heap space"
    vm.put(place + 56, "Q", BASE + 8)
    assert vm_error_on_stack(vm.reading(), words) is None
