"""Objects that Z has moved while references to their old places remain.

Source: HotSpot share/gc/z (and gc/x in JDK 21 to 23): zForwardingTable, zGranuleMap {size, T* map}, one slot for two
MiB of the heap; zForwarding {start, end, object alignment shift, length of entries …} and its entries of 64 bits:
18 of the object's index in the old page, 45 of its new offset, one that says whether the entry is in use. With
generations there is a table in each (ZGeneration::_young, _old), else one in ZHeap.
"""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.runtimes.hotspot.layout.reading import Reading

_GRANULE = 21
_MAX_ENTRIES = 1 << 19
_MAX_HEAP = 1 << 44
_GENERATION_BYTES = 256
_INDEX_SHIFT, _OFFSET_MASK = 46, (1 << 45) - 1


class Relocations:
    """Where objects went from pages that are being emptied."""

    def __init__(self, vm: Reading, symbol: Callable[[str], int | None]) -> None:
        self._vm = vm
        instance = vm.static_word("ZGlobalsForVMStructs._instance_p", "XGlobalsForVMStructs._instance_p")
        self._mask = 0
        for globals_of in ("ZGlobalsForVMStructs", "XGlobalsForVMStructs"):
            self._mask = vm.word(vm.field(instance, f"{globals_of}._ZAddressOffsetMask")) or self._mask
            self._mask = vm.word(vm.field(instance, f"{globals_of}._XAddressOffsetMask")) or self._mask
        self._maps = tuple(self._tables(symbol)) if 0 < self._mask < _MAX_HEAP else ()
        self._entries = {kind: vm.size(f"{kind}Forwarding") for kind in ("Z", "X")}
        self._pages: dict[int, dict[int, int]] = {}

    def _tables(self, symbol: Callable[[str], int | None]) -> list[int]:
        """Addresses of the arrays of ZForwarding*, by granule."""
        vm = self._vm
        found = []
        for name in ("_ZN11ZGeneration6_youngE", "_ZN11ZGeneration4_oldE"):
            generation = vm.word(symbol(name))
            words = vm.memory.words(generation, _GENERATION_BYTES // 8) if generation else None
            # The first granule map in it: its size is that of the whole address range.
            for size, place in itertools.pairwise(words or ()):
                if size == (self._mask + 1) >> _GRANULE and place:
                    found.append(place)
                    break
        for kind in ("Z", "X"):
            heap = vm.at(vm.static_word("Universe._collectedHeap"), f"{kind}CollectedHeap._heap")
            table = vm.at(heap, f"{kind}Heap._forwarding_table")
            slots = vm.word(vm.at(vm.at(table, f"{kind}ForwardingTable._map"), f"{kind}GranuleMapForForwarding._map"))
            if slots:
                found.append(slots)
        return found

    def current(self, address: int) -> int:
        """Where the object that was at an address is now; the address itself for one that was not moved."""
        if not self._maps or not address:
            return address
        offset = address & self._mask
        for place in self._maps:
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
            kind = next((kind for kind in ("Z", "X") if vm.offset(f"{kind}Forwarding._virtual") is not None), None)
            size = self._entries.get(kind or "")
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
