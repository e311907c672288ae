from __future__ import annotations

from postmortem.runtimes.hotspot.heap.heap import collector_of, heap
from tests.postmortem.runtimes.hotspot.state.vm import FakeVm


def _space(vm: FakeVm, start: int, end: int, top: int) -> int:
    address = vm.room(24)
    vm.put(address, "QQQ", start, end, top)
    return address


def _serial(vm: FakeVm) -> int:
    vm.instance(SerialHeap___young_gen=0, SerialHeap___old_gen=8, TenuredGeneration___the_space=0)
    vm.instance(DefNewGeneration___eden_space=0, DefNewGeneration___from_space=8, DefNewGeneration___to_space=16)
    vm.instance(ContiguousSpace___bottom=0, ContiguousSpace___end=8, ContiguousSpace___top=16)
    vm.instance(CollectedHeap___total_collections=16)
    young, old, top = vm.room(24), vm.room(8), vm.room(24)
    vm.put(young, "QQQ", _space(vm, 1000, 3000, 1500), _space(vm, 3000, 4000, 3100), _space(vm, 4000, 5000, 4000))
    vm.put(old, "Q", _space(vm, 5000, 9000, 7000))
    vm.put(top, "QQI", young, old, 7)
    vm.static("Universe._collectedHeap", top)
    return young


def test_serial_counts_one_survivor_space_as_the_vm_does() -> None:
    vm = FakeVm()
    _serial(vm)
    state = heap(vm.reading(), {"UseSerialGC": "true", "MaxHeapSize": "9999"})
    assert state.heap.collector == "Serial"
    assert (state.heap.capacity, state.heap.used, state.heap.maximum) == (7000, 2600, 9999)
    assert state.heap.collections == 7
    assert [(space.name, space.capacity, space.used) for space in state.heap.spaces] == [
        ("eden", 2000, 500),
        ("from", 1000, 100),
        ("to", 1000, 0),
        ("old", 4000, 2000),
    ]
    assert not state.problems


def test_a_space_whose_top_lies_outside_is_a_problem_and_no_sum_is_made() -> None:
    vm = FakeVm()
    young = _serial(vm)
    vm.put(young, "Q", _space(vm, 1000, 3000, 9_999_999))
    state = heap(vm.reading(), {"UseSerialGC": "true"})
    assert state.heap.used is None
    assert state.heap.capacity is None
    assert state.problems


def test_a_heap_not_yet_there_and_an_unknown_collector() -> None:
    vm = FakeVm()
    vm.static("Universe._collectedHeap", 0)
    assert "not set up" in heap(vm.reading(), {}).problems[0].what
    vm.static("Universe._collectedHeap", vm.room(64))
    assert "not known" in heap(vm.reading(), {}).problems[0].what


def test_collector_by_flags() -> None:
    assert collector_of({"UseG1GC": "true", "UseSerialGC": "false"}) == "G1"
    assert collector_of({"UseZGC": "true"}) == "Z"
    assert collector_of({}) is None


def test_g1_sums_regions_by_kind_and_a_table_without_end_is_refused() -> None:
    vm = FakeVm()
    vm.instance(G1CollectedHeap___hrm=0, G1HeapRegionManager___regions=0)
    vm.instance(G1HeapRegionTable___base=0, G1HeapRegionTable___length=8)
    vm.instance(G1HeapRegion___bottom=0, G1HeapRegion___end=8, G1HeapRegion___top=16, G1HeapRegion___type=24)
    vm.instance(G1HeapRegionType___tag=0)
    for name, value in (
        ("FreeTag", 0), ("EdenTag", 2), ("SurvTag", 3), ("StartsHumongousTag", 4),
        ("ContinuesHumongousTag", 5), ("OldMask", 8),
    ):  # fmt: skip
        vm.constants[f"G1HeapRegionType::{name}"] = value
    vm.static("G1HeapRegion.GrainBytes", 0x1000)
    table, top = vm.room(64), vm.room(16)
    for index, (tag, used) in enumerate([(2, 0x800), (4, 0x1000), (5, 0x100), (8, 0x1000), (9, 0x10), (0, 0)]):
        region = vm.room(32)
        start = 0x10000 + 0x1000 * index
        vm.put(region, "QQQI", start, start + 0x1000, start + used, tag)
        vm.put(table + 8 * index, "Q", region)
    vm.put(top, "QQ", table, 6)
    vm.static("Universe._collectedHeap", top)
    state = heap(vm.reading(), {"UseG1GC": "true"})
    spaces = {space.name: (space.regions, space.used) for space in state.heap.spaces}
    assert spaces == {"eden": (1, 0x800), "humongous": (2, 0x1100), "old": (2, 0x1010), "free": (1, 0)}
    assert state.heap.capacity == 0x6000
    assert [area.continues for area in state.areas] == [False, False, True, False, False]
    vm.put(top + 8, "Q", 1 << 60)
    assert heap(vm.reading(), {"UseG1GC": "true"}).problems
