"""How full the code cache is, by segment, and how many compiled methods it holds.

A CodeHeap is a run of blocks {header: length in segments (size_t, u4 since JDK 25), used flag}, each of
which holds a CodeBlob. Segments never used lie behind the last block, where the segment map says 0xff.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from postmortem.hotspot.reading import problem
from postmortem.model import Address
from postmortem.model.jvm import CodeCache, CodeSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.hotspot.reading import Reading
    from postmortem.model import Problem

_MAX_HEAPS = 16
_MAX_BLOCKS = 1 << 18
_MAX_SEGMENTS = 1 << 26
_FREE = 0xFF
_COMPILATION: dict[int | None, str] = {
    0: "disabled (not enough contiguous free space left)",
    1: "enabled",
    2: "disabled for good (the code cache was full, or a compiler could not start)",
}
"""CompileBroker::_should_compile_new_jobs, share/compiler/compileBroker.hpp."""


def code_cache(vm: Reading, symbol: Callable[[str], int | None]) -> tuple[CodeCache | None, list[Problem]]:
    """The segments of the code cache; `used` and `free` as the VM itself counts them."""
    heaps = _heaps(vm)
    if not heaps:
        return None, [problem("CodeCache", "the code cache can't be located")]
    segments, problems = [], []
    nmethods = 0
    for heap in heaps:
        found = _segment(vm, heap)
        if found is None:
            problems.append(problem(f"CodeHeap {heap:#x}", "its bounds can't be read"))
            continue
        segment, methods, whole = found
        segments.append(segment)
        nmethods += methods
        if not whole:
            problems.append(problem(f"CodeHeap {segment.name}", "its blocks can't be followed to their end"))
    if not segments:
        return None, problems
    used = [segment.used for segment in segments if segment.used is not None]
    summary = CodeCache(
        segments=tuple(segments),
        reserved=sum(segment.capacity for segment in segments),
        used=sum(used) if len(used) == len(segments) else None,
        nmethods=nmethods,
        compilation=_COMPILATION.get(vm.i32(symbol("_ZN13CompileBroker24_should_compile_new_jobsE"))),
    )
    return summary, problems


def _heaps(vm: Reading) -> list[int]:
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


def _heap_name(vm: Reading, heap: int) -> str:
    """CodeHeap::_name, which isn't exported: the word of the object that points at such a text."""
    data = vm.memory.read_some(heap, vm.size("CodeHeap") or 336)
    for (word,) in struct.iter_unpack("<Q", data[: len(data) & ~7]):
        text = vm.text(word, 64) if word > 4096 else None
        if text and text.startswith(("CodeHeap '", "CodeCache")):
            return text.removeprefix("CodeHeap '").rstrip("'")
    return "CodeCache"


def _segment(vm: Reading, heap: int) -> tuple[CodeSegment, int, bool] | None:
    """The segment, its number of compiled methods, and whether all blocks could be followed."""
    memory, map_at = vm.at(heap, "CodeHeap._memory"), vm.at(heap, "CodeHeap._segmap")
    low, high = vm.field(memory, "VirtualSpace._low"), vm.field(memory, "VirtualSpace._high")
    start, end = vm.field(memory, "VirtualSpace._low_boundary"), vm.field(memory, "VirtualSpace._high_boundary")
    map_low = vm.field(map_at, "VirtualSpace._low")
    shift = vm.u32(vm.at(heap, "CodeHeap._log2_segment_size"))
    if not low or not high or start is None or end is None or shift is None or not map_low:
        return None
    if not (start <= low <= high <= end and 4 <= shift <= 16):
        return None
    segments = (high - low) >> shift
    segment_map = vm.memory.read_some(map_low, min(segments, _MAX_SEGMENTS))
    length_at, used_at = vm.offset("HeapBlock::Header._length"), vm.offset("HeapBlock::Header._used")
    narrow = vm.type_string("HeapBlock::Header._length") == "uint32_t"
    header_size = vm.size("HeapBlock")
    name = _heap_name(vm, heap)
    if length_at is None or used_at is None or header_size is None:
        return _made(name, start, end, None), 0, False
    used, nmethods, position, whole = 0, 0, 0, True
    for _ in range(_MAX_BLOCKS):
        if position >= len(segment_map) or segment_map[position] == _FREE:
            break
        block = low + (position << shift)
        length = vm.u32(block + length_at) if narrow else vm.word(block + length_at)
        if not length or length > segments - position:
            whole = False
            break
        if vm.byte(block + used_at):
            used += length << shift
            nmethods += _is_nmethod(vm, block + header_size)
        position += length
    return _made(name, start, end, used), nmethods, whole and len(segment_map) == segments


def _made(name: str, start: int, end: int, used: int | None) -> CodeSegment:
    return CodeSegment(
        name=name,
        start=Address(start),
        end=Address(end),
        capacity=end - start,
        used=used,
        free=None if used is None else end - start - used,
    )


def _is_nmethod(vm: Reading, blob: int) -> bool:
    kind_at = vm.offset("CodeBlob._kind")
    if kind_at is not None:
        return vm.byte(blob + kind_at) == (vm.constant("CodeBlobKind::Nmethod") or 1)
    return vm.text(vm.field(blob, "CodeBlob._name"), 32) in ("nmethod", "native nmethod")
