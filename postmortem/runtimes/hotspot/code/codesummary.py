"""How full the code cache is, by segment, and how many compiled methods it holds."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from postmortem.model import Address
from postmortem.model.jvm import CodeCache, CodeSegment
from postmortem.runtimes.hotspot.code.codeheap import blocks, code_heap, heap_addresses
from postmortem.runtimes.hotspot.layout.reading import problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.model import Problem
    from postmortem.runtimes.hotspot.layout.reading import Reading

_COMPILATION: dict[int | None, str] = {
    0: "disabled (not enough contiguous free space left)",
    1: "enabled",
    2: "disabled for good (the code cache was full, or a compiler could not start)",
}
"""CompileBroker::_should_compile_new_jobs, share/compiler/compileBroker.hpp."""


def code_cache(vm: Reading, symbol: Callable[[str], int | None]) -> tuple[CodeCache | None, list[Problem]]:
    """The segments of the code cache; `used` and `free` as the VM itself counts them."""
    heaps = heap_addresses(vm)
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


def _heap_name(vm: Reading, heap: int) -> str:
    """CodeHeap::_name, which isn't exported: the word of the object that points at such a text."""
    data = vm.memory.read_some(heap, vm.size("CodeHeap") or 336)
    for (word,) in struct.iter_unpack("<Q", data[: len(data) & ~7]):
        text = vm.text(word, 64) if word > 4096 else None
        if text and text.startswith(("CodeHeap '", "CodeCache")):
            return text.removeprefix("CodeHeap '").rstrip("'")
    return "CodeCache"


def _segment(vm: Reading, address: int) -> tuple[CodeSegment, int, bool] | None:
    """The segment, its number of compiled methods, and whether all blocks could be followed."""
    heap, memory = code_heap(vm, address), vm.at(address, "CodeHeap._memory")
    start, end = vm.field(memory, "VirtualSpace._low_boundary"), vm.field(memory, "VirtualSpace._high_boundary")
    if heap is None or start is None or end is None or not start <= heap.low <= heap.high <= end:
        return None
    found, whole = blocks(vm, heap)
    used = [block for block in found if block.used]
    size = sum(block.size for block in used) if found or whole else None
    return _made(_heap_name(vm, address), start, end, size), sum(_is_nmethod(vm, block.blob) for block in used), whole


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
