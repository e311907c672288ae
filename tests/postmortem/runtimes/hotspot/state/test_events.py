from __future__ import annotations

import pytest

from postmortem.runtimes.hotspot.vm.events import event_logs
from tests.postmortem.runtimes.hotspot.state.vm import FakeVm


def _ring(vm: FakeVm, name_at: int, *, handle: bool, texts: list[str], length: int, index: int) -> int:
    """An EventLog whose records are 24 + 64 bytes; unused records point at themselves as well."""
    size = 88
    log, records = vm.room(256), vm.room(size * length)
    for slot in range(length):
        vm.put(records + slot * size, "dQQ", 0.0, 0, records + slot * size + 24)
    for slot, text in enumerate(texts):
        vm.put(records + slot * size, "dQQ64s", 1.5 + slot, 0xABC0, records + slot * size + 24, text.encode())
    vm.put(log + name_at, "Q", vm.text("Events"))
    at = name_at + (16 if handle else 8)
    vm.put(log + at, "iiiiQ", length, index, len(texts), 0, records)
    if handle:
        vm.put(log + name_at + 8, "Q", vm.text("events"))
    return log


@pytest.mark.parametrize(("name_at", "handle"), [(136, False), (120, True), (112, True)])
def test_header_is_recognised_wherever_the_name_lies(name_at: int, handle: bool) -> None:
    vm = FakeVm()
    place = vm.room(8)
    vm.put(place, "Q", _ring(vm, name_at, handle=handle, texts=["one", "two"], length=5, index=2))
    logs, problems = event_logs(vm.reading(), {"_ZN6Events5_logsE": place}.get, {0xABC0: "main"})
    assert not problems
    assert [log.name for log in logs] == ["Events"]
    assert [(event.time, event.thread, event.text) for event in logs[0].events] == [
        (1.5, "main", "one"),
        (2.5, "main", "two"),
    ]


def test_a_full_ring_starts_at_the_slot_to_be_written_next() -> None:
    vm = FakeVm()
    place = vm.room(8)
    vm.put(place, "Q", _ring(vm, 120, handle=True, texts=["c", "a", "b"], length=3, index=1))
    logs, _ = event_logs(vm.reading(), {"_ZL15event_logs_list": place}.get)
    assert [event.text for event in logs[0].events] == ["a", "b", "c"]
    assert logs[0].events[0].thread == "0xabc0"


def test_a_list_that_bites_its_tail_ends() -> None:
    vm = FakeVm()
    place = vm.room(8)
    log = _ring(vm, 120, handle=True, texts=["x"], length=2, index=1)
    vm.put(place, "Q", log)
    vm.put(log + 8, "Q", log)
    assert len(event_logs(vm.reading(), {"_ZN6Events5_logsE": place}.get)[0]) == 1


def test_without_symbols_it_says_so() -> None:
    logs, problems = event_logs(FakeVm().reading(), lambda name: None)
    assert logs == ()
    assert "stripped" in problems[0].what
