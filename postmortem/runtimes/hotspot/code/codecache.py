"""Code blobs: what the VM generated at an address, found through the code heaps' segment maps.

Source: HotSpot share/code/codeBlob.hpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from parsers.limits import LIMITS
from postmortem.runtimes.hotspot.code.codeheap import FREE, blocks, code_heap, header_size, heap_addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_HOPS = LIMITS.codecache_hops

BlobKind = Literal["nmethod", "native", "interpreter", "adapter", "vtable", "stubs", "deoptimization", "runtime"]


class Blob(NamedTuple):
    """A CodeBlob. Code is [code_begin, code_end); frame_size in bytes, 0 when its code has no fixed frame.

    frame_complete: address from which on the frame is built, or None when there is no such point.
    """

    address: int
    name: str
    kind: BlobKind
    code_begin: int
    code_end: int
    frame_size: int
    frame_complete: int | None


class CodeCache:
    """The code heaps of one VM."""

    def __init__(self, vm: Reading) -> None:
        self._vm = vm
        self.heaps = tuple(heap for place in heap_addresses(vm) if (heap := code_heap(vm, place)) is not None)
        self._low = min((heap.low for heap in self.heaps), default=0)
        self._high = max((heap.high for heap in self.heaps), default=0)
        self._header = header_size(vm)
        self._used = vm.offset("HeapBlock::Header._used")
        self._blobs: dict[int, Blob | None] = {}
        self._last: Blob | None = None

    def covers(self, pc: int) -> bool:
        """Whether an address lies in a code heap."""
        if not self._low <= pc < self._high:
            return False
        # Three at most, and asked for every frame of every thread.
        for _, low, high, _, _ in self.heaps:  # noqa: SIM110
            if low <= pc < high:
                return True
        return False

    def blob_at(self, pc: int) -> Blob | None:
        """The blob in use whose block holds an address."""
        last = self._last
        if last is not None and last.address <= pc < last.code_end:
            return last
        for _, low, high, segments, shift in self.heaps:
            if low <= pc < high:
                block = self._block(low, segments, shift, pc)
                if block is None:
                    return None
                if block not in self._blobs:
                    self._blobs[block] = self._read(block + self._header)
                self._last = self._blobs[block]
                return self._last
        return None

    def blobs(self) -> Iterator[Blob]:
        """All blobs in use, by heap and address."""
        for heap in self.heaps:
            for block in blocks(self._vm, heap)[0]:
                blob = self._read(block.blob) if block.used else None
                if blob is not None:
                    yield blob

    def _block(self, low: int, segments: int, shift: int, pc: int) -> int | None:
        index = (pc - low) >> shift
        for _ in range(_MAX_HOPS):
            distance = self._vm.byte(segments + index)
            if distance is None or distance == FREE:
                return None
            if distance == 0:
                block = low + (index << shift)
                return block if self._used is None or self._vm.byte(block + self._used) else None
            index -= distance
            if index < 0:
                return None
        return None

    def _read(self, blob: int) -> Blob | None:
        vm = self._vm
        begin, end = vm.field(blob, "CodeBlob._code_begin"), vm.field(blob, "CodeBlob._code_end")
        if begin is None or end is None:
            code, data = vm.u32(vm.at(blob, "CodeBlob._code_offset")), vm.u32(vm.at(blob, "CodeBlob._data_offset"))
            if code is None or data is None:
                return None
            begin, end = blob + code, blob + data
        if not blob < begin <= end < blob + (1 << 31):
            return None
        words = vm.i32(vm.at(blob, "CodeBlob._frame_size")) or 0
        place = vm.at(blob, "CodeBlob._frame_complete_offset")
        narrow = vm.type_string("CodeBlob._frame_complete_offset") == "int16_t"
        complete = vm.u16(place) if narrow else vm.i32(place)
        name = vm.text(vm.field(blob, "CodeBlob._name"), 200) or ""
        kind = self._kind(blob, name)
        return Blob(
            blob,
            name,
            kind,
            begin,
            end,
            8 * words if 0 < words < 1 << 20 else 0,
            begin + complete if complete is not None and 0 <= complete < min(end - begin, 0x7FFF) else None,
        )

    def _kind(self, blob: int, name: str) -> BlobKind:
        """By name, the same in all versions; by CodeBlob::_kind where the names can't be read (JDK 25 and newer)."""
        if name == "nmethod":
            return "nmethod"
        if name == "native nmethod":
            return "native"
        if name == "Interpreter":
            return "interpreter"
        if name in ("I2C/C2I adapters", "adapters", "MethodHandles adapters", "MethodHandlesAdapterBlob"):
            return "adapter"
        if name.startswith(("vtable", "itable")) or name == "InlineCacheBuffer":
            return "vtable"
        if name.startswith(("StubRoutines", "MethodHandle")):
            return "stubs"
        if name == "DeoptimizationBlob":
            return "deoptimization"
        if not name and self._vm.byte(self._vm.at(blob, "CodeBlob._kind")) == 1:
            return "nmethod"
        return "runtime"
