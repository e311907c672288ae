"""All of a JVM's state but its threads: what the fields of model.Jvm are filled with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from postmortem.runtimes.hotspot.code.codesummary import code_cache
from postmortem.runtimes.hotspot.heap.directmemory import direct_memory
from postmortem.runtimes.hotspot.heap.heap import heap
from postmortem.runtimes.hotspot.heap.metaspace import metaspace
from postmortem.runtimes.hotspot.heap.uses import Use, uses
from postmortem.runtimes.hotspot.vm.arguments import arguments, properties
from postmortem.runtimes.hotspot.vm.collections import with_collections
from postmortem.runtimes.hotspot.vm.events import event_logs
from postmortem.runtimes.hotspot.vm.operation import safepoint, vm_operation
from postmortem.runtimes.hotspot.vm.perfdata import counters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postmortem.model import Flag, Problem
    from postmortem.runtimes.hotspot.heap.histogram import Progress
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading


def jvm_state(
    reading: Reading,
    oops: Oops,
    all_flags: tuple[Flag, ...],
    symbol: Callable[[str], int | None],
    vtables: Callable[[int], str | None],
    histogram: bool = False,
    thread_names: Mapping[int, str] | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], list[Problem], tuple[Use, ...]]:
    """Values of model.Jvm's fields by name, what degraded, and what the JVM uses address ranges for.

    symbol: the address in memory of a symbol of libjvm by its linkage name. vtables: the class name for
    the vtable pointer of a C++ object. histogram: walk the heap, too. thread_names: names by Thread*
    for the event rings, which otherwise show addresses. progress: of the walk. None of the callables may raise.
    """
    problems: list[Problem] = []
    by_name = {flag.name: flag.value for flag in all_flags}
    state: dict[str, Any] = {"flags": all_flags}

    given, found = arguments(reading)
    problems.extend(found)
    state["arguments"] = (*given.flags, *given.arguments)
    state["java_command"] = given.java_command

    state["counters"], found = counters(reading)
    problems.extend(found)

    state["uptime"] = _uptime(state["counters"])

    state["properties"], found = properties(reading, oops, symbol, state["counters"])
    problems.extend(found)
    state["version"] = reading.text(
        reading.static_word("Abstract_VM_Version._s_vm_release", "VM_Version._s_vm_release"), 256
    )
    state["name"] = state["properties"].get("java.vm.name")
    state["vendor"] = state["properties"].get("java.vm.vendor")
    symbols = symbol("_ZN9Arguments18_system_propertiesE") is not None
    state["tier"] = "tables+symtab" if symbols else "tables"

    heap_state = heap(reading, by_name)
    problems.extend(heap_state.problems)
    state["heap"] = with_collections(heap_state.heap, state["counters"])

    state["metaspace"], state["class_loaders"], found = metaspace(reading, oops, symbol, by_name, state["counters"])
    problems.extend(found)
    state["code_cache"], found = code_cache(reading, symbol)
    problems.extend(found)
    state["events"], found = event_logs(reading, symbol, thread_names)
    problems.extend(found)
    state["direct_memory"] = direct_memory(reading, oops)
    state["safepoint"] = safepoint(reading, symbol, state["counters"])
    state["vm_operation"] = vm_operation(reading, symbol, vtables)

    if histogram:
        from postmortem.runtimes.hotspot.heap.histogram import histogram as walk

        state["histogram"], found = walk(reading, oops, heap_state, progress)
        problems.extend(found)
    return state, problems, uses(reading, symbol, vtables, heap_state, state["code_cache"])


def _uptime(counters: dict[str, str]) -> float | None:
    """Seconds at the last tick of the VM's periodic thread, 50 ms before the end at most; None without counters."""
    ticks, frequency = (counters.get(f"sun.os.hrt.{name}", "") for name in ("ticks", "frequency"))
    return int(ticks) / int(frequency) if ticks.isdigit() and frequency.isdigit() and int(frequency) else None
