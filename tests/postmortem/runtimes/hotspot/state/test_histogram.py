from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from postmortem.model.jvm import Heap
from postmortem.runtimes.hotspot.heap.heap import Area, HeapState
from postmortem.runtimes.hotspot.heap.histogram import histogram
from tests.postmortem.runtimes.hotspot.state.objects import Classes

if TYPE_CHECKING:
    from postmortem.model import Problem

pytest.importorskip("numba")


def _walk(classes: Classes, *areas: Area) -> tuple[dict[str, tuple[int, int]], list[Problem]]:
    state = HeapState(Heap(collector="Serial"), areas, [])
    entries, problems = histogram(classes.vm.reading(), classes.oops(), state)
    assert entries is not None
    return {entry.class_: (entry.instances, entry.bytes) for entry in entries}, problems


@pytest.mark.parametrize("shape", ["wide", "narrow", "compact"])
def test_counts_instances_and_arrays(shape: str) -> None:
    classes = Classes(shape)
    node, ints = classes.klass("a/Node", 24), classes.array("[I", 2)
    start = classes.vm.room(4096)
    position = start
    for length in (0, 1, 5):
        classes.write(position, node)
        position += 24
        classes.write(position, ints, length)
        position += (24 if shape == "wide" else 16) + (4 * length + 7) // 8 * 8
    found, problems = _walk(classes, Area("old", start, start + 4096, position))
    assert not problems
    assert found["a.Node"] == (3, 72)
    assert found["[I"] == (3, position - start - 72)


def test_progress_ends_where_the_heap_does() -> None:
    classes = Classes("narrow")
    node = classes.klass("a/Node", 24)
    start = classes.vm.room(4096)
    for number in range(6):
        classes.write(start + 24 * number, node)
    areas = (Area("eden", start, start + 1024, start + 72), Area("old", start + 72, start + 1024, start + 144))
    told: list[tuple[int, int]] = []
    state = HeapState(Heap(collector="Serial"), areas, [])
    histogram(classes.vm.reading(), classes.oops(), state, lambda done, total: told.append((done, total)))
    assert told == [(0, 144), (72, 144), (72, 144), (144, 144)]


def test_an_allocation_buffer_leaves_a_gap_with_garbage() -> None:
    classes = Classes("narrow")
    vm = classes.vm
    node = classes.klass("a/Node", 24)
    start = vm.room(4096)
    for place in (start, start + 1024):
        classes.write(place, node)
    vm.put(start + 24, "QQ", 0x1234567, 0x55555555)
    thread = vm.room(64)
    vm.put(thread, "QQ", start, start + 24)
    vm.put(thread + 16, "Q", start + 1024 - 16)
    vm.instance(Thread___tlab=0, ThreadLocalAllocBuffer___start=0, ThreadLocalAllocBuffer___top=8)
    vm.instance(ThreadLocalAllocBuffer___end=16, JavaThread___next=48)
    vm.static("Threads._thread_list", thread)
    found, problems = _walk(classes, Area("eden", start, start + 4096, start + 1048))
    assert not problems
    assert found == {"a.Node": (2, 48)}


def test_damage_is_stepped_over_and_told() -> None:
    classes = Classes("narrow")
    node = classes.klass("a/Node", 24)
    start = classes.vm.room(4096)
    for index in range(100):
        classes.write(start + 24 * index, node)
    classes.vm.put(start + 24 * 10, "QQ", 0x1001, 0x77777777)
    found, problems = _walk(classes, Area("old", start, start + 4096, start + 2400))
    assert found == {"a.Node": (99, 99 * 24)}
    assert "24 bytes of the heap in 1 places" in problems[0].what


def test_a_humongous_object_counts_once_and_its_further_regions_not_at_all() -> None:
    classes = Classes("narrow")
    ints = classes.array("[I", 2)
    start = classes.vm.room(4096)
    classes.write(start, ints, 500)
    found, problems = _walk(
        classes,
        Area("humongous", start, start + 1024, start + 1024, single=True),
        Area("humongous", start + 1024, start + 2048, start + 2016, continues=True),
    )
    assert not problems
    assert found == {"[I": (1, 2016)}


def test_memory_never_allocated_is_skipped() -> None:
    classes = Classes("narrow")
    node = classes.klass("a/Node", 24)
    start = classes.vm.room(4096)
    classes.write(start, node)
    classes.write(start + 2048, node)
    found, problems = _walk(classes, Area("pages", start, start + 4096, start + 4096))
    assert not problems
    assert found == {"a.Node": (2, 48)}


def test_a_heap_that_was_not_dumped_is_told() -> None:
    classes = Classes("narrow")
    found, problems = _walk(classes, Area("old", 0x1000, 0x3000, 0x2000))
    assert found == {}
    assert "4096 bytes of the heap are not in the core" in problems[0].what


def test_overlapping_areas_are_walked_once() -> None:
    classes = Classes("narrow")
    node = classes.klass("a/Node", 24)
    start = classes.new(node, 24)
    area = Area("old", start, start + 24, start + 24)
    assert _walk(classes, *[area] * 1000)[0] == {"a.Node": (1, 24)}
