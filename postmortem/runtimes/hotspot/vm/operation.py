"""The safepoint and the VM operation in progress; both found by symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.jvm import Safepoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postmortem.runtimes.hotspot.layout.reading import Reading

SYNCHRONIZING = 1
STATES = {0: "not synchronized", SYNCHRONIZING: "synchronizing", 2: "synchronized"}
_NO_TIME = 1 << 63
"""VMError's times are -1 until they are set."""


def safepoint(
    vm: Reading, symbol: Callable[[str], int | None], counters: Mapping[str, str] | None = None
) -> Safepoint | None:
    """SafepointSynchronize's state; None where libjvm's symbols are stripped. counters: of hsperfdata."""
    state = vm.u32(symbol("_ZN20SafepointSynchronize6_stateE"))
    if state is None:
        return None
    waiting = vm.i32(symbol("_ZN20SafepointSynchronize17_waiting_to_blockE"))
    waited = _waited(vm, symbol, counters or {}) if state == SYNCHRONIZING else None
    return Safepoint(state=STATES.get(state), waiting_to_block=waiting, waited=waited)


def _waited(vm: Reading, symbol: Callable[[str], int | None], counters: Mapping[str, str]) -> float | None:
    """From the safepoint's begin to the first error's report, both of os::javaTimeNanos(); 0 if it began later.

    Without an error, to the last tick of the VM's periodic thread, which safepoints do not stop: the counter
    sun.os.hrt.ticks counts nanoseconds since initial_time_count (os_linux.cpp), 50 ms apart.
    """
    begun = vm.word(
        symbol("_ZN16SafepointTracing29_last_safepoint_begin_time_nsE")
        or symbol("_ZN20SafepointSynchronize21_safepoint_begin_timeE")
    )
    reported = vm.word(symbol("_ZN7VMError21_reporting_start_timeE"))
    if not begun:
        return None
    if reported is not None and 0 < reported < _NO_TIME:
        return max(reported - begun, 0) / 1e9
    start = vm.word(symbol("_ZL18initial_time_count"))
    ticks = counters.get("sun.os.hrt.ticks", "")
    if not start or not ticks.isdigit() or counters.get("sun.os.hrt.frequency") != "1000000000":
        return None
    return max(start + int(ticks) - begun, 0) / 1e9


def vm_operation(vm: Reading, symbol: Callable[[str], int | None], vtables: Callable[[int], str | None]) -> str | None:
    """The operation that the VM thread was executing, without its "VM_"; None when idle or not known."""
    operation = vm.word(symbol("_ZN8VMThread17_cur_vm_operationE"))
    table = vm.word(operation)
    name = vtables(table) if table else None
    return None if name is None else name.removeprefix("VM_")
