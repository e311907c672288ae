"""Objects that Z has moved while references to their old places remain.

Source: HotSpot share/gc/z (and gc/x in JDK 21 to 23): zForwardingTable, zGranuleMap {size, T* map}, one slot for two
MiB of the heap; zForwarding {start, end, object alignment shift, length of entries …} and its entries of 64 bits:
18 of the object's index in the old page, 45 of its new offset, one that says whether the entry is in use. With
generations there is a table in each (ZGeneration::_young, _old), else one in ZHeap.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.runtimes.hotspot.layout.reading import Reading

_GRANULE = 21
_MAX_ENTRIES = LIMITS.relocation_entries
_MAX_HEAP = 1 << 44
_TABLE_IN_GENERATION = 32
"""Of ZGeneration: behind its vtable, its id, and the addresses of the page allocator and the page table."""
_INDEX_SHIFT, _OFFSET_MASK = 46, (1 << 45) - 1


class Relocations:
    """Where objects went from pages that are being emptied."""

    def __init__(self, vm: Reading, symbol: Callable[[str], int | None], kind: str) -> None:
        """kind: "Z", or "X" for the one without generations of JDK 21 to 23."""
        self._vm = vm
        self._kind = kind
        instance = vm.static_word(f"{kind}GlobalsForVMStructs._instance_p")
        self._mask = vm.word(vm.field(instance, f"{kind}GlobalsForVMStructs._{kind}AddressOffsetMask")) or 0
        self._maps = tuple(self._tables(symbol)) if 0 < self._mask < _MAX_HEAP else ()
        self._size = vm.size(f"{kind}Forwarding")
        self._pages: dict[int, dict[int, int]] = {}

    def _tables(self, symbol: Callable[[str], int | None]) -> list[tuple[int, int]]:
        """(slots, address) of the arrays of ZForwarding*, by granule."""
        vm, kind = self._vm, self._kind
        places = []
        for name in ("_ZN11ZGeneration6_youngE", "_ZN11ZGeneration4_oldE"):
            generation = vm.word(symbol(name))
            if generation:
                places.append(generation + _TABLE_IN_GENERATION)
        heap = vm.at(vm.static_word("Universe._collectedHeap"), f"{kind}CollectedHeap._heap")
        places.append(vm.at(vm.at(heap, f"{kind}Heap._forwarding_table"), f"{kind}ForwardingTable._map") or 0)
        found = []
        for place in places:
            words = vm.memory.words(place, 2) if place else None
            # A power of two, that of the addresses which the heap may use.
            if words and words[1] and 0 < words[0] <= (self._mask + 1) >> _GRANULE and not words[0] & (words[0] - 1):
                found.append((words[0], words[1]))
        return found

    def current(self, address: int) -> int:
        """Where the object that was at an address is now; the address itself for one that was not moved."""
        if not self._maps or not address:
            return address
        offset = address & self._mask
        for slots, place in self._maps:
            if offset >> _GRANULE >= slots:
                continue
            forwarding = self._vm.word(place + 8 * (offset >> _GRANULE))
            if forwarding:
                moved = self._moved(forwarding).get(offset)
                if moved is not None:
                    return (address & ~self._mask) | moved
        return address

    def _moved(self, forwarding: int) -> dict[int, int]:
        """Old offset → new offset of all objects that were moved from a page."""
        if forwarding not in self._pages:
            self._pages[forwarding] = {}
            vm = self._vm
            kind, size = self._kind, self._size
            start = vm.word(vm.at(forwarding, f"{kind}Forwarding._virtual"))
            shift = vm.word(vm.at(forwarding, f"{kind}Forwarding._object_alignment_shift"))
            length = vm.word(vm.at(forwarding, f"{kind}Forwarding._entries"))
            if not size or start is None or shift is None or shift > _GRANULE or not length or length > _MAX_ENTRIES:
                return {}
            data = vm.memory.read_some(forwarding + ((size + 7) & ~7), 8 * length)
            for (entry,) in struct.iter_unpack("<Q", data[: len(data) & ~7]):
                if entry & 1:
                    self._pages[forwarding][start + (entry >> _INDEX_SHIFT << shift)] = entry >> 1 & _OFFSET_MASK
        return self._pages[forwarding]
