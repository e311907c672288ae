"""Which JDK it is, for the few layouts that nothing in the tables tells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.runtimes.hotspot.layout.reading import Reading


def major(vm: Reading) -> int | None:
    """The feature release: 8, 11, 17, …

    JDK_Version where the tables have it (8 to 21), since on 8 Abstract_VM_Version holds HotSpot's own number, 25.
    """
    current = vm.static("JDK_Version._current")
    offset = vm.offset("JDK_Version._major")
    if current is not None and offset is not None:
        return vm.byte(current + offset) or None
    return vm.u32(vm.static("Abstract_VM_Version._vm_major_version")) or None
