from __future__ import annotations

import struct

from postmortem.runtimes.hotspot.vm.perfdata import counters
from tests.postmortem.runtimes.hotspot.state.vm import BASE, FakeVm


def _entry(name: str, kind: str, vector: int, data: bytes) -> bytes:
    text = name.encode() + b"\0"
    data_at = (20 + len(text) + 7) & ~7
    length = (data_at + len(data) + 7) & ~7
    header = struct.pack("<iiibbbbi", length, 20, vector, ord(kind), 0, 0, 0, data_at)
    return (header + text).ljust(data_at, b"\0") + data.ljust(length - data_at, b"\0")


def _vm(entries: list[bytes], count: int | None = None) -> FakeVm:
    vm = FakeVm()
    vm.instance(PerfDataPrologue__entry_offset=24, PerfDataPrologue__num_entries=28)
    body = b"".join(entries)
    start = vm.room(32 + len(body))
    vm.put(start + 24, "ii", 32, len(entries) if count is None else count)
    vm.content[start + 32 - BASE : start + 32 - BASE + len(body)] = body
    vm.static("PerfMemory._start", start)
    vm.static("PerfMemory._capacity", 32 + len(body))
    return vm


def test_numbers_and_strings() -> None:
    vm = _vm([_entry("b.text", "B", 16, b"No GC\0junk"), _entry("a.number", "J", 0, struct.pack("<q", -3))])
    assert counters(vm.reading()) == ({"a.number": "-3", "b.text": "No GC"}, [])


def test_an_entry_that_leads_nowhere_ends_the_list() -> None:
    good = _entry("a", "J", 0, bytes(8))
    found, problems = counters(_vm([good, struct.pack("<iiibbbbi", 0, 20, 0, 74, 0, 0, 0, 24)]).reading())
    assert found == {"a": "0"}
    assert "1 of 2" in problems[0].what


def test_a_count_beyond_the_memory_is_a_problem() -> None:
    found, problems = counters(_vm([_entry("a", "J", 0, bytes(8))], count=9).reading())
    assert found == {"a": "0"}
    assert "8 of 9" in problems[0].what


def test_memory_that_was_not_dumped_is_a_problem_with_a_hint() -> None:
    vm = _vm([])
    vm.static("PerfMemory._start", 0x1000)
    found, problems = counters(vm.reading())
    assert found == {}
    assert "coredump_filter" in (problems[0].hint or "")


def test_no_counters_wanted_is_no_problem() -> None:
    vm = _vm([])
    vm.static("PerfMemory._start", 0)
    assert counters(vm.reading()) == ({}, [])
