"""Whose initialization a lock stands for, in a made-up VM."""

from __future__ import annotations

import pytest

from postmortem.runtimes.hotspot.layout.oops import Oops
from postmortem.runtimes.hotspot.threads.classinit import Initializations
from tests.postmortem.runtimes.hotspot.state.vm import FakeVm

RUNNING, DONE = 3, 4
THREAD = 0x1234_0000
FULL_WIDTH = {"UseCompressedOops": "false", "UseCompressedClassPointers": "false"}
MIRROR_SIZE, INT_ARRAY = 64, -1


class Vm:
    """Classes of one loader; references and class pointers have full width."""

    def __init__(self) -> None:
        vm = self.vm = FakeVm()
        vm.instance(
            ClassLoaderData___next=0, ClassLoaderData___klasses=8, Klass___next_link=0, Klass___name=8,
            Klass___layout_helper=16, Klass___java_mirror=24, InstanceKlass___init_state=32,
            InstanceKlass___init_thread=40, Symbol___length=0, Symbol___body=2,
        )  # fmt: skip
        vm.constants["InstanceKlass::being_initialized"] = RUNNING
        self.data = vm.room(16)
        vm.static("ClassLoaderDataGraph._head", self.data)
        self.last = 0
        self.mirrors = self.klass("java/lang/Class", MIRROR_SIZE, DONE)
        self.arrays = self.klass("[I", INT_ARRAY, RUNNING)

    def klass(self, name: str, helper: int, state: int, lock: int = 0) -> int:
        vm = self.vm
        symbol, klass, mirror = vm.room(len(name) + 2), vm.room(48), vm.room(MIRROR_SIZE)
        vm.put(symbol, f"H{len(name)}s", len(name), name.encode())
        vm.put(klass, "QQiQ", self.last, symbol, helper, 0)
        vm.put(klass + 24, "QBQ", mirror, state, 0)
        vm.put(klass + 40, "Q", THREAD if state == RUNNING else 0)
        vm.put(mirror + 8, "Q", getattr(self, "mirrors", klass))
        vm.put(mirror + 48, "Q", lock)
        vm.put(self.data + 8, "Q", klass)
        self.last = klass
        return klass

    def lock(self, length: int = 0) -> int:
        address = self.vm.room(24)
        self.vm.put(address, "QQI", 1, self.arrays, length)
        return address

    def behind(self, lock: int | None) -> tuple[str, int] | None:
        reading = self.vm.reading()
        return Initializations(reading, Oops(reading, FULL_WIDTH)).behind(lock)


def test_the_class_whose_mirror_has_the_lock_is_being_initialized() -> None:
    vm = Vm()
    first, second = vm.lock(), vm.lock()
    vm.klass("shop/Prices", 16, RUNNING, first)
    vm.klass("shop/Taxes", 16, RUNNING, second)
    assert vm.behind(first) == ("shop.Prices", THREAD)
    assert vm.behind(second) == ("shop.Taxes", THREAD)


@pytest.mark.parametrize("length", [0, 3])
def test_an_array_that_no_initialization_locks_is_an_array(length: int) -> None:
    vm = Vm()
    lock = vm.lock(length)
    vm.klass("shop/Prices", 16, DONE, lock)
    vm.klass("shop/Taxes", 16, RUNNING, vm.lock())
    assert vm.behind(lock) is None
    assert vm.behind(None) is None


def test_a_longer_array_is_no_lock_though_a_mirror_refers_to_it() -> None:
    vm = Vm()
    lock = vm.lock(3)
    vm.klass("shop/Prices", 16, RUNNING, lock)
    assert vm.behind(lock) is None


def test_without_its_tables_it_says_nothing() -> None:
    vm = Vm()
    lock = vm.lock()
    vm.klass("shop/Prices", 16, RUNNING, lock)
    del vm.vm.fields["InstanceKlass", "_init_thread"]
    assert vm.behind(lock) is None
