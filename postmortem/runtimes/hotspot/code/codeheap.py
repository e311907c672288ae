"""The code heaps and the blocks in them.

Source: HotSpot share/memory/heap.{hpp,cpp}. A CodeHeap is an array of segments with one byte each in a map:
0xff for a free one, otherwise the distance to go back towards the block's first segment, 0 there. It is a run
of blocks {header: length in segments (size_t, u4 since JDK 25), used flag}, each of which holds a CodeBlob
behind its header; segments never used lie behind the last block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_HEAPS = LIMITS.codeheap_heaps
_MAX_BLOCKS = LIMITS.codeheap_blocks
_MAX_SEGMENTS = LIMITS.codeheap_segments

FREE = 0xFF
"""What the segment map says of a segment in no block."""


class CodeHeap(NamedTuple):
    """Committed part [low, high) of the heap at `address`; `segments`: its segment map; segment size 1 << shift."""

    address: int
    low: int
    high: int
    segments: int
    shift: int


class Block(NamedTuple):
    """The CodeBlob of a block, and the whole block's size in bytes."""

    blob: int
    size: int
    used: bool


def heap_addresses(vm: Reading) -> list[int]:
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


def code_heap(vm: Reading, address: int) -> CodeHeap | None:
    """The heap at an address; None when its bounds make no sense."""
    memory, map_at = vm.at(address, "CodeHeap._memory"), vm.at(address, "CodeHeap._segmap")
    low, high = vm.field(memory, "VirtualSpace._low"), vm.field(memory, "VirtualSpace._high")
    segments = vm.field(map_at, "VirtualSpace._low")
    shift = vm.u32(vm.at(address, "CodeHeap._log2_segment_size"))
    if not low or not high or not segments or shift is None or not 4 <= shift <= 16 or not low < high < 1 << 47:
        return None
    return CodeHeap(address, low, high, segments, shift)


def header_size(vm: Reading) -> int:
    """Bytes between the start of a block and its CodeBlob."""
    return vm.size("HeapBlock") or 16


def blocks(vm: Reading, heap: CodeHeap) -> tuple[list[Block], bool]:
    """The heap's blocks by address, and whether they could be followed to their end."""
    length_at, used_at = vm.offset("HeapBlock::Header._length"), vm.offset("HeapBlock::Header._used")
    if length_at is None or used_at is None:
        return [], False
    number = (heap.high - heap.low) >> heap.shift
    segments = vm.memory.read_some(heap.segments, min(number, _MAX_SEGMENTS))
    narrow = vm.type_string("HeapBlock::Header._length") == "uint32_t"
    header = header_size(vm)
    found: list[Block] = []
    position = 0
    while position < len(segments) and segments[position] != FREE:
        block = heap.low + (position << heap.shift)
        length = vm.u32(block + length_at) if narrow else vm.word(block + length_at)
        if not length or length > number - position or len(found) >= _MAX_BLOCKS:
            return found, False
        found.append(Block(block + header, length << heap.shift, bool(vm.byte(block + used_at))))
        position += length
    return found, len(segments) == number
