"""Code blobs: what the VM generated at an address, found through the code heaps' segment maps.

Source: HotSpot share/memory/heap.{hpp,cpp} and share/code/codeBlob.hpp. A CodeHeap is an array of segments
with one byte each in a map: 0xff for a free one, otherwise the distance to go back towards the block's
first segment, 0 there. A block is a HeapBlock header followed by a CodeBlob.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from postmortem.hotspot.reading import Reading

_MAX_HEAPS = 16
_MAX_HOPS = 1 << 16
_FREE = 0xFF

BlobKind = Literal["nmethod", "native", "interpreter", "adapter", "vtable", "stubs", "deoptimization", "runtime"]


class CodeHeap(NamedTuple):
    """Committed part [low, high) of a code heap; `segments`: address of its segment map; segment size 1 << shift."""

    low: int
    high: int
    segments: int
    shift: int


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
        self.heaps = tuple(heap for address in _heaps(vm) if (heap := _heap(vm, address)) is not None)
        self._low = min((heap.low for heap in self.heaps), default=0)
        self._high = max((heap.high for heap in self.heaps), default=0)
        self._header = vm.size("HeapBlock") or 16
        self._used = vm.offset("HeapBlock::Header._used")
        self._blobs: dict[int, Blob | None] = {}
        self._last: Blob | None = None

    def covers(self, pc: int) -> bool:
        """Whether an address lies in a code heap."""
        if not self._low <= pc < self._high:
            return False
        # Three at most, and asked for every frame of every thread.
        for low, high, _, _ in self.heaps:  # noqa: SIM110
            if low <= pc < high:
                return True
        return False

    def blob_at(self, pc: int) -> Blob | None:
        """The blob in use whose block holds an address."""
        last = self._last
        if last is not None and last.address <= pc < last.code_end:
            return last
        for low, high, segments, shift in self.heaps:
            if low <= pc < high:
                block = self._block(low, segments, shift, pc)
                if block is None:
                    return None
                if block not in self._blobs:
                    self._blobs[block] = self._read(block + self._header)
                self._last = self._blobs[block]
                return self._last
        return None

    def _block(self, low: int, segments: int, shift: int, pc: int) -> int | None:
        index = (pc - low) >> shift
        for _ in range(_MAX_HOPS):
            distance = self._vm.byte(segments + index)
            if distance is None or distance == _FREE:
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


def _heaps(vm: Reading) -> list[int]:
    """Addresses of the CodeHeaps: one before JDK 9, a GrowableArray of them since."""
    single = vm.static_word("CodeCache._heap")
    if single:
        return [single]
    array = vm.static_word("CodeCache._heaps")
    count = vm.u32(vm.at(array, "GrowableArrayBase._len", "GenericGrowableArray._len"))
    # The data pointer of every GrowableArray is exported under the name of one instance.
    data = vm.field(array, "GrowableArray<int>._data")
    if not data or not count or count > _MAX_HEAPS:
        return []
    return [word for word in vm.memory.words(data, count) or () if word]


def _heap(vm: Reading, heap: int) -> CodeHeap | None:
    memory, map_at = vm.at(heap, "CodeHeap._memory"), vm.at(heap, "CodeHeap._segmap")
    low, high = vm.field(memory, "VirtualSpace._low"), vm.field(memory, "VirtualSpace._high")
    segments = vm.field(map_at, "VirtualSpace._low")
    shift = vm.u32(vm.at(heap, "CodeHeap._log2_segment_size"))
    if not low or not high or not segments or shift is None or not 4 <= shift <= 16 or not low < high < 1 << 47:
        return None
    return CodeHeap(low, high, segments, shift)
