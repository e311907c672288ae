"""Instances and bytes by class: a walk over every object of the heap, dead ones included.

What `jmap -histo` without :live counts. Objects lie one after the other from an area's bottom to its
top; threads' allocation buffers leave gaps, which are known from their bounds. Where a header makes no
sense (a collection was moving objects, a class was unloaded, memory is damaged), the walk looks for
the next run of plausible objects and says how much it left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parsers.limits import LIMITS
from postmortem.model import HistogramEntry
from postmortem.runtimes.hotspot.layout.reading import problem
from postmortem.runtimes.hotspot.threads.list import java_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.model import Problem
    from postmortem.runtimes.hotspot.heap.heap import Area, HeapState
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

    Progress = Callable[[int, int], None]

_CHUNK = 1 << 25
_MAX_CLASSES = LIMITS.histogram_classes
_MAX_RESYNCS = LIMITS.histogram_resyncs
_MAX_ADDRESS = 1 << 56


def allocation_gaps(vm: Reading, oops: Oops) -> list[tuple[int, int]]:
    """[top, end) of every thread's allocation buffer in use, with the reserve behind its end; ascending."""
    lab = vm.static_word("CollectedHeap._lab_alignment_reserve")
    prefetch = vm.i32(
        vm.static(
            "ThreadLocalAllocBuffer._reserve_for_allocation_prefetch",
            "Abstract_VM_Version._reserve_for_allocation_prefetch",
        )
    )
    # At least the smallest filler object: an int[0]. With neither in the tables (8) that is all.
    filler = (oops.length_offset + 4 + oops.alignment - 1) // oops.alignment * oops.alignment // 8
    reserve = 8 * min(max(filler if lab is None else lab, prefetch or 0), 1 << 16)
    gaps = []
    for thread in java_threads(vm):
        buffer = vm.at(thread, "Thread._tlab")
        start, top, end = (vm.field(buffer, f"ThreadLocalAllocBuffer.{name}") for name in ("_start", "_top", "_end"))
        if start and top and end and start <= top <= end < _MAX_ADDRESS:
            gaps.append((top, end + reserve))
    return sorted(gaps)


def histogram(
    vm: Reading, oops: Oops, state: HeapState, progress: Progress | None = None
) -> tuple[tuple[HistogramEntry, ...] | None, list[Problem]]:
    """All classes with most bytes first; None where no heap could be walked.

    progress: told after each chunk how many bytes of how many are behind the walk.
    """
    collector = state.heap.collector
    if not state.areas:
        return None, [problem("histogram", f"the areas of the {collector or 'unknown'} heap are not known")]
    try:
        from postmortem.runtimes.hotspot.heap import heapwalk
    except ImportError as error:
        return None, [problem("histogram", f"the heap walk needs numba and numpy: {error}", "pip install numba")]
    return _Walk(vm, oops, heapwalk, allocation_gaps(vm, oops)).run(state, progress or _silent)


class _Walk:
    """One walk: the classes met so far and their counts, in arrays that the compiled loop indexes."""

    def __init__(self, vm: Reading, oops: Oops, kernels: Any, gaps: list[tuple[int, int]]) -> None:
        import numpy as np

        self.np = np
        self.vm = vm
        self.oops = oops
        self.kernels = kernels
        self.gap_starts = np.array([start for start, _ in gaps], dtype=np.int64)
        self.gap_ends = np.array([end for _, end in gaps], dtype=np.int64)
        mode = kernels.COMPACT if oops.compact else kernels.NARROW if oops.narrow_klass else kernels.WIDE
        mirror_at = vm.i32(vm.static("java_lang_Class._oop_size_offset")) or 0
        self.layout = np.array(
            [
                mode, _signed(oops.klass_base), oops.klass_shift, oops.mark_klass_shift, oops.alignment,
                oops.length_offset, mirror_at, 0, int(oops.narrow), 0, int(oops.monitor_table),
            ],
            dtype=np.int64,
        )  # fmt: skip
        self.names: list[str] = []
        self.keys = np.zeros(1 << 12, dtype=np.int64)
        self.values = np.zeros(1 << 12, dtype=np.int32)
        self.known: dict[int, int] = {}
        room = 1 << 10
        self.shapes, self.headers, self.shifts, self.instances, self.sizes = (
            np.zeros(room, dtype=np.int64) for _ in range(5)
        )
        self.skipped = np.zeros(1, dtype=np.int64)
        self.scratch = self.instances.copy()
        self.lost = 0
        self.absent = 0
        self.resyncs = 0

    def run(self, state: HeapState, progress: Progress) -> tuple[tuple[HistogramEntry, ...], list[Problem]]:
        """Walk all areas."""
        areas: list[Area] = []
        for area in sorted(state.areas, key=lambda area: area.start):
            # Sound areas don't overlap; damaged ones must not make the walk endless.
            behind = areas[-1].top if areas else 0
            if area.continues or area.top <= area.start or area.start < behind or area.end > _MAX_ADDRESS:
                continue
            areas.append(area)
        total, done = sum(area.top - area.start for area in areas), 0
        for area in areas:
            for position in self._area(area):
                progress(done + position - area.start, total)
            done += area.top - area.start
            progress(done, total)
        problems = []
        if state.heap.collector == "CMS":
            what = "the old generation of CMS is not walked: only the young one is counted"
            problems.append(problem("histogram", what))
        if self.absent:
            hint = "the core was truncated or the heap's mapping was not dumped (coredump_filter)"
            problems.append(problem("histogram", f"{self.absent} bytes of the heap are not in the core", hint))
        if self.lost:
            what = f"{self.lost} bytes of the heap in {self.resyncs} places could not be parsed and are not counted"
            why = "a collection was running" if state.heap.gc_active else None
            problems.append(problem("histogram", what, why))
        merged: dict[str, list[int]] = {}
        for name, instances, size in zip(self.names, self.instances.tolist(), self.sizes.tolist(), strict=False):
            if instances:
                entry = merged.setdefault(name, [0, 0])
                entry[0] += instances
                entry[1] += size
        entries = [HistogramEntry(class_=name, instances=n, bytes=size) for name, (n, size) in merged.items()]
        entries.sort(key=lambda entry: (-entry.bytes, entry.class_))
        return tuple(entries), problems

    def _area(self, area: Area) -> Iterator[int]:
        """Count the objects of an area, chunk by chunk; yields where it is."""
        kernels, np = self.kernels, self.np
        position = area.start
        self.layout[9] = int(area.single)
        while position < area.top:
            yield position
            data = self.vm.memory.read_some(position, min(_CHUNK, area.top - position))
            words = np.frombuffer(data, dtype="<i8", count=len(data) // 8)
            if not len(words):
                self.absent += area.top - position
                return
            origin = position
            halves = words.view(np.uint32)
            while True:
                status, position, value = kernels.walk(words, halves, origin, position, area.top, *self._arrays())
                if status == kernels.UNKNOWN_CLASS and self._learn(value):
                    continue
                if status == kernels.DISPLACED and self._displaced(value):
                    # The class was learnt from the monitor; count the object here and go on behind it.
                    moved = self._one(position, value) if self.vm.memory.budget.take("displaced_headers") else None
                    if moved:
                        position = moved
                        continue
                if status in (kernels.DONE, kernels.NEEDS_DATA):
                    break
                if area.single or self.resyncs >= _MAX_RESYNCS:
                    self.lost += area.top - position
                    self.resyncs += 1
                    return
                position = self._next_plausible(words, halves, origin, position, area.top)
                if position >= min(area.top, origin + 8 * len(words)):
                    break
            if status == kernels.DONE:
                return
            if status == kernels.NEEDS_DATA and position == origin:
                self.absent += area.top - position
                return

    def _arrays(self) -> tuple[Any, ...]:
        return (
            self.gap_starts, self.gap_ends, self.keys, self.values, self.shapes, self.headers, self.shifts,
            self.instances, self.sizes, self.layout, self.skipped,
        )  # fmt: skip

    def _next_plausible(self, words: Any, halves: Any, origin: int, position: int, top: int) -> int:
        layout = self.layout.copy()
        layout[9] = 2
        if len(self.scratch) != len(self.instances):
            self.scratch = self.instances.copy()
        scratch = (*self._arrays()[:-4], self.scratch, self.scratch, layout, self.skipped.copy())
        found = int(self.kernels.resync(words, halves, origin, position + self.oops.alignment, top, *scratch))
        self.lost += found - position
        self.resyncs += 1
        return found

    def _displaced(self, mark: int) -> bool:
        klass = self._displaced_class(mark)
        return klass is not None and (klass in self.known or self._learn(klass))

    def _displaced_class(self, mark: int) -> int | None:
        header = self.vm.word((mark & 0xFFFFFFFFFFFFFFFF) ^ 2)
        if header is None:
            return None
        return self.oops.klass_base + ((header >> self.oops.mark_klass_shift) << self.oops.klass_shift)

    def _one(self, position: int, mark: int) -> int | None:
        """Count the object at `position`, whose class is in its monitor; the position behind it."""
        number = self.known.get(self._displaced_class(mark) or 0)
        if number is None:
            return None
        size = int(self.headers[number])
        shape = int(self.shapes[number])
        if shape != self.kernels.INSTANCE:
            length = self.vm.u32(position + int(self.layout[5 + shape - self.kernels.ARRAY]))
            if length is None:
                return None
            if shape == self.kernels.ARRAY:
                size += length << int(self.shifts[number])
            elif shape == self.kernels.MIRROR:
                size = 8 * length
            else:
                size += 8 * length + 8 * (((length << int(self.oops.narrow)) + 63) >> 6)
        alignment = self.oops.alignment
        size = (size + alignment - 1) & ~(alignment - 1)
        if size < 8:
            return None
        self.instances[number] += 1
        self.sizes[number] += size
        return position + size

    def _learn(self, klass: int) -> bool:
        """Take a class into the arrays; False when what's there is no class."""
        oops, kernels = self.oops, self.kernels
        klass &= 0xFFFFFFFFFFFFFFFF
        if klass in self.known or klass & 7 or len(self.known) >= _MAX_CLASSES:
            return False
        name, helper = oops.klass_name(klass), oops.layout_helper(klass)
        if not name or not helper or "\ufffd" in name:
            return False
        if helper > 0:
            shape, header, shift = kernels.INSTANCE, helper & ~7, 0
            if name == "java/lang/Class" and self.layout[6]:
                shape = kernels.MIRROR
            elif name == "jdk/internal/vm/StackChunk":
                field = oops.find_field(klass, "size")
                if field is not None:
                    shape = kernels.STACK_CHUNK
                    self.layout[7] = field.offset
        else:
            shape, header, shift = kernels.ARRAY, (helper >> 16) & 0xFF, helper & 0x3F
            if shift > 3 or header < 8:
                return False
        number = len(self.names)
        if number == len(self.shapes):
            self._grow_classes()
        self.names.append(_external(name))
        self.shapes[number], self.headers[number], self.shifts[number] = shape, header, shift
        self.known[klass] = number
        if 4 * len(self.known) > len(self.keys):
            size = 4 * len(self.keys)
            self.keys = self.np.zeros(size, dtype=self.np.int64)
            self.values = self.np.zeros(size, dtype=self.np.int32)
            for key, value in self.known.items():
                self._insert(key, value)
        else:
            self._insert(klass, number)
        return True

    def _insert(self, klass: int, number: int) -> None:
        klass = _signed(klass)
        mask = len(self.keys) - 1
        slot = ((klass >> 3) ^ (klass >> 17)) & mask
        while self.keys[slot]:
            slot = (slot + 1) & mask
        self.keys[slot], self.values[slot] = klass, number

    def _grow_classes(self) -> None:
        for name in ("shapes", "headers", "shifts", "instances", "sizes"):
            old = getattr(self, name)
            setattr(self, name, self.np.concatenate([old, self.np.zeros_like(old)]))


def _silent(done: int, total: int) -> None:
    """Nobody watches."""


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _external(name: str) -> str:
    """A class name as jcmd prints it: dots, and "/" before a hidden class' address."""
    return name.replace("/", ".").replace("+0x", "/0x")
