"""The safepoint and the VM operation in progress; both found by symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.jvm import Safepoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.hotspot.reading import Reading

_STATES = {0: "not synchronized", 1: "synchronizing", 2: "synchronized"}


def safepoint(vm: Reading, symbol: Callable[[str], int | None]) -> Safepoint | None:
    """SafepointSynchronize's state; None where libjvm's symbols are stripped."""
    state = vm.u32(symbol("_ZN20SafepointSynchronize6_stateE"))
    if state is None:
        return None
    waiting = vm.i32(symbol("_ZN20SafepointSynchronize17_waiting_to_blockE"))
    return Safepoint(state=_STATES.get(state), waiting_to_block=waiting)


def vm_operation(
    vm: Reading, symbol: Callable[[str], int | None], vtables: Callable[[int], str | None]
) -> str | None:
    """The operation that the VM thread was executing, without its "VM_"; None when idle or not known."""
    operation = vm.word(symbol("_ZN8VMThread17_cur_vm_operationE"))
    table = vm.word(operation)
    name = vtables(table) if table else None
    return None if name is None else name.removeprefix("VM_")
