"""The Java heap: which collector, how large, how full, and the areas that objects lie in.

An Area is a stretch that was allocated from its bottom up to `top`: a space of Serial, Parallel, CMS or
Epsilon, a region of G1 or Shenandoah, a page of Z. The report sums areas of one kind; the histogram
walks them.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.model import Address, HeapSpace, Problem
from postmortem.model.jvm import Heap
from postmortem.runtimes.hotspot.layout.reading import problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postmortem.runtimes.hotspot.layout.reading import Reading

MAX_REGIONS = LIMITS.heap_regions
_Z_MAX_GRANULES = LIMITS.heap_granules
_Z_EMPTY = bytes(1 << 16)
# Per-NUMA values lie this far apart (ZValueStorage::offset).
_Z_NUMA_STRIDE = 4096
_MAX_NUMA = LIMITS.heap_numa

_COLLECTORS = (
    ("UseG1GC", "G1"),
    ("UseParallelGC", "Parallel"),
    ("UseParallelOldGC", "Parallel"),
    ("UseConcMarkSweepGC", "CMS"),
    ("UseSerialGC", "Serial"),
    ("UseZGC", "Z"),
    ("UseShenandoahGC", "Shenandoah"),
    ("UseEpsilonGC", "Epsilon"),
)


class Area(NamedTuple):
    """[start, end) in memory, objects in [start, top). single: one object larger than the area's unit."""

    kind: str
    start: int
    end: int
    top: int
    single: bool = False
    continues: bool = False


class HeapState(NamedTuple):
    """The model's Heap, the areas it was summed from, and what could not be read."""

    heap: Heap
    areas: tuple[Area, ...]
    problems: list[Problem]


class _Totals(NamedTuple):
    areas: list[Area]
    spaces: tuple[HeapSpace, ...]
    capacity: int | None
    used: int | None
    problems: list[Problem]


def collector_of(flags: dict[str, str]) -> str | None:
    """The collector by the flags that choose it."""
    return next((name for flag, name in _COLLECTORS if flags.get(flag) == "true"), None)


def heap(vm: Reading, flags: dict[str, str]) -> HeapState:
    """The heap as it was. `flags` are the VM's, by name."""
    address = vm.static_word("Universe._collectedHeap")
    collector = collector_of(flags)
    if not address:
        why = "the heap was not set up yet" if address == 0 else "the heap can't be located"
        return HeapState(Heap(collector=collector), (), [problem("Universe::_collectedHeap", why)])
    reader = {
        "G1": _g1,
        "Parallel": _parallel,
        "Serial": _serial,
        "CMS": _serial,
        "Z": _z,
        "Shenandoah": _shenandoah,
        "Epsilon": _epsilon,
    }.get(collector or "")
    if reader is None:
        totals = _Totals([], (), None, None, [problem("CollectedHeap", "the collector is not known to this program")])
    else:
        totals = reader(vm, address, flags)
    active = vm.byte(vm.at(address, "CollectedHeap._is_stw_gc_active", "CollectedHeap._is_gc_active"))
    maximum = flags.get("MaxHeapSize", "")
    if collector == "Z" and flags.get("ZGenerational") == "true":
        collector = "Z (generational)"
    summary = Heap(
        collector=collector,
        capacity=totals.capacity,
        used=totals.used,
        maximum=int(maximum) if maximum.isdigit() else vm.field(address, "CollectedHeap._max_heap_capacity"),
        spaces=totals.spaces,
        collections=vm.u32(vm.at(address, "CollectedHeap._total_collections")),
        gc_active=None if active is None else bool(active),
    )
    return HeapState(summary, tuple(totals.areas), totals.problems)


def _space(kind: str, area: Area | None, capacity: int | None = None) -> HeapSpace:
    if area is None:
        return HeapSpace(name=kind)
    return HeapSpace(
        name=kind,
        capacity=area.end - area.start if capacity is None else capacity,
        used=area.top - area.start,
        start=Address(area.start),
        end=Address(area.end),
    )


def _by_kind(areas: Iterable[Area]) -> tuple[HeapSpace, ...]:
    """Areas of one kind as one space without an address."""
    capacity: dict[str, int] = defaultdict(int)
    used: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    for area in areas:
        capacity[area.kind] += area.end - area.start
        used[area.kind] += area.top - area.start
        count[area.kind] += 1
    return tuple(
        HeapSpace(name=kind, capacity=capacity[kind], used=used[kind], regions=count[kind]) for kind in capacity
    )


def _contiguous(vm: Reading, kind: str, space: int | None) -> Area | None:
    """A Space, MutableSpace or ContiguousSpace: bottom, end, top."""
    if not space:
        return None
    mutable = kind.startswith("ps-")
    prefixes = ("MutableSpace", "ImmutableSpace") if mutable else ("ContiguousSpace", "Space")
    start = vm.field(space, *(f"{prefix}._bottom" for prefix in prefixes))
    end = vm.field(space, *(f"{prefix}._end" for prefix in prefixes))
    top = vm.field(space, *(f"{prefix}._top" for prefix in prefixes))
    if start is None or end is None or top is None or not start <= top <= end:
        return None
    return Area(kind.removeprefix("ps-"), start, end, top)


def _generations(named: list[tuple[str, Area | None]]) -> _Totals:
    """eden, from, to and old. As the VM counts it, capacity leaves out the empty survivor space."""
    areas = [area for _, area in named if area is not None]
    problems = [problem(f"heap space {kind}", "it can't be read") for kind, area in named if area is None]
    spaces = tuple(_space(kind.removeprefix("ps-"), area) for kind, area in named)
    capacity = sum(area.end - area.start for area in areas if area.kind != "to")
    used = sum(area.top - area.start for area in areas if area.kind != "to")
    if problems:
        return _Totals(areas, spaces, None, None, problems)
    return _Totals(areas, spaces, capacity, used, problems)


def _parallel(vm: Reading, address: int, flags: dict[str, str]) -> _Totals:
    # Static until JDK 25, fields of the heap object in 27.
    young = vm.static_word("ParallelScavengeHeap._young_gen") or vm.field(address, "ParallelScavengeHeap._young_gen")
    old = vm.static_word("ParallelScavengeHeap._old_gen") or vm.field(address, "ParallelScavengeHeap._old_gen")
    return _generations(
        [
            ("eden", _contiguous(vm, "ps-eden", vm.field(young, "PSYoungGen._eden_space"))),
            ("from", _contiguous(vm, "ps-from", vm.field(young, "PSYoungGen._from_space"))),
            ("to", _contiguous(vm, "ps-to", vm.field(young, "PSYoungGen._to_space"))),
            ("old", _contiguous(vm, "ps-old", vm.field(old, "PSOldGen._object_space"))),
        ]
    )


def _serial(vm: Reading, address: int, flags: dict[str, str]) -> _Totals:
    young = vm.field(address, "SerialHeap._young_gen", "GenCollectedHeap._young_gen")
    old = vm.field(address, "SerialHeap._old_gen", "GenCollectedHeap._old_gen")
    generations = vm.at(address, "GenCollectedHeap._gens")
    if young is None and generations is not None:
        # JDK 8: an array of two generations.
        young, old = vm.word(generations), vm.word(generations + 8)
    named = [
        ("eden", _contiguous(vm, "eden", vm.field(young, "DefNewGeneration._eden_space"))),
        ("from", _contiguous(vm, "from", vm.field(young, "DefNewGeneration._from_space"))),
        ("to", _contiguous(vm, "to", vm.field(young, "DefNewGeneration._to_space"))),
    ]
    if flags.get("UseConcMarkSweepGC") == "true":
        return _concurrent_mark_sweep(vm, old, named)
    space = vm.field(old, "TenuredGeneration._the_space", "OneContigSpaceCardGeneration._the_space")
    return _generations([*named, ("old", _contiguous(vm, "old", space))])


def _concurrent_mark_sweep(vm: Reading, old: int | None, named: list[tuple[str, Area | None]]) -> _Totals:
    """The old generation of CMS has free lists in place of a top: its fill is not worked out here."""
    young = _generations(named)
    space = vm.field(old, "ConcurrentMarkSweepGeneration._cmsSpace")
    start, end = vm.field(space, "Space._bottom"), vm.field(space, "Space._end")
    if young.capacity is None or start is None or end is None or end < start:
        return young._replace(capacity=None, used=None)
    tenured = HeapSpace(name="old", capacity=end - start, start=Address(start), end=Address(end))
    return _Totals(
        young.areas,
        (*young.spaces, tenured),
        young.capacity + end - start,
        None,
        [problem("CMS old generation", "its free lists are not read, so what it held is not known")],
    )


def _epsilon(vm: Reading, address: int, flags: dict[str, str]) -> _Totals:
    area = _contiguous(vm, "space", vm.field(address, "EpsilonHeap._space"))
    if area is None:
        return _Totals([], (), None, None, [problem("EpsilonHeap::_space", "it can't be read")])
    return _Totals([area], (_space("space", area),), area.end - area.start, area.top - area.start, [])


def _g1(vm: Reading, address: int, flags: dict[str, str]) -> _Totals:
    manager = vm.at(address, "G1CollectedHeap._hrm")
    table = vm.at(manager, "G1HeapRegionManager._regions", "HeapRegionManager._regions")
    base, length = vm.field(table, "G1HeapRegionTable._base"), vm.field(table, "G1HeapRegionTable._length")
    grain = vm.static_word("G1HeapRegion.GrainBytes", "HeapRegion.GrainBytes")
    if not base or not length or not grain or length > MAX_REGIONS:
        return _Totals([], (), None, None, [problem("G1CollectedHeap::_hrm", "the table of regions can't be read")])
    data = vm.memory.read_some(base, 8 * length)
    regions = [word for (word,) in struct.iter_unpack("<Q", data[: len(data) & ~7]) if word]
    places = [
        vm.offset("G1HeapRegion._bottom", "HeapRegion._bottom", "Space._bottom"),
        vm.offset("G1HeapRegion._end", "HeapRegion._end", "Space._end"),
        vm.offset("G1HeapRegion._top", "HeapRegion._top", "G1ContiguousSpace._top", "G1OffsetTableContigSpace._top"),
    ]
    bottom_at, end_at, top_at = places
    if bottom_at is None or end_at is None or top_at is None:
        return _Totals([], (), None, None, [problem("HeapRegion", "its fields are not in the tables")])
    tag_at = vm.offset("G1HeapRegion._type", "HeapRegion._type")
    tag_in = vm.offset("G1HeapRegionType._tag", "HeapRegionType._tag") or 0
    found = []
    for region in regions:
        start, end, top = vm.word(region + bottom_at), vm.word(region + end_at), vm.word(region + top_at)
        if start is None or end is None or top is None or not start <= top or not start < end:
            continue
        found.append((region, start, end, top))
    if tag_at is None:
        guessed = _guess_tag_offset(vm, found)
        tags = {r: vm.u32(r + guessed) for r, _, _, _ in found} if guessed is not None else {}
        kinds = {0: "free", 2: "eden", 3: "survivor", 4: "humongous", 5: "humongous", 8: "old"}
        humongous, continuing = 4, 5
    else:
        tags = {r: vm.u32(r + tag_at + tag_in) for r, _, _, _ in found}
        kinds, humongous, continuing = _g1_tags(vm)
    areas = []
    for region, start, end, top in found:
        tag = tags.get(region)
        kind = kinds.get(-1 if tag is None else tag) or _g1_kind(vm, tag, start == top)
        # JDK 8 lets the first region of a humongous object reach over the regions that follow.
        end = min(end, start + grain)
        areas.append(Area(kind, start, end, min(top, end), tag == humongous, tag == continuing))
    problems = []
    lost = len(regions) - len(found) + max(0, length - len(data) // 8)
    if lost:
        problems.append(problem("HeapRegion", f"{lost} of {length} regions can't be read"))
    committed = _g1_committed(vm, address, manager, grain)
    in_use = [area for area in areas if area.top > area.start or area.kind not in ("free", "region")]
    free = len(areas) - len(in_use)
    if committed is not None:
        # A region given back to the system keeps its entry in the table.
        free = max(0, committed // grain - len(in_use))
    spaces = list(_by_kind(in_use))
    spaces.append(HeapSpace(name="free", capacity=free * grain, used=0, regions=free))
    used = sum(area.top - area.start for area in in_use)
    return _Totals(in_use, tuple(spaces), (len(in_use) + free) * grain, used, problems)


def _g1_committed(vm: Reading, address: int, manager: int | None, grain: int) -> int | None:
    """Committed bytes: counted by the manager (8, 11), or as the monitoring support last summed them."""
    count = vm.u32(vm.at(manager, "HeapRegionManager._num_committed"))
    if count is not None:
        return count * grain
    support = vm.field(address, "G1CollectedHeap._monitoring_support", "G1CollectedHeap._g1mm")
    parts = [
        vm.field(support, f"G1MonitoringSupport.{name}")
        for name in ("_eden_space_committed", "_survivor_space_committed", "_old_gen_committed")
    ]
    total = sum(part or 0 for part in parts)
    return None if None in parts or total % grain else total


def _g1_tags(vm: Reading) -> tuple[dict[int, str], int, int]:
    """Region kinds by tag, the tag of a humongous object's first region, that of the regions after it."""
    prefixes = ("G1HeapRegionType::", "HeapRegionType::")

    def tag(name: str, default: int) -> int:
        value = vm.constant(*(prefix + name for prefix in prefixes))
        return default if value is None else value

    starts, continues = tag("StartsHumongousTag", 4), tag("ContinuesHumongousTag", 5)
    kinds = {
        tag("FreeTag", 0): "free",
        tag("EdenTag", 2): "eden",
        tag("SurvTag", 3): "survivor",
        starts: "humongous",
        continues: "humongous",
    }
    return kinds, starts, continues


def _g1_kind(vm: Reading, tag: int | None, empty: bool) -> str:
    if tag is None:
        return "free" if empty else "region"
    archive = vm.constant("HeapRegionType::ArchiveMask")
    if archive and tag & archive:
        return "archive"
    old = vm.constant("G1HeapRegionType::OldMask", "HeapRegionType::OldMask") or 8
    return "old" if tag & old else "region"


def _guess_tag_offset(vm: Reading, regions: list[tuple[int, int, int, int]]) -> int | None:
    """Where JDK 8 keeps the region's tag, which its tables leave out.

    It is the one 32-bit field that in every region holds a valid tag, and holds Free exactly in the
    empty ones. None unless a single field fits.
    """
    size = min(vm.size("HeapRegion") or 384, 4096) & ~3
    valid = {0, 2, 3, 4, 5, 8}
    fitting = list(range(0, size, 4))
    used = 0
    for region, start, _, top in regions:
        data = vm.read(region, size)
        if data is None:
            continue
        words = struct.unpack(f"<{size // 4}I", data)
        used += start != top
        fitting = [at for at in fitting if words[at // 4] in valid and (words[at // 4] != 0 or start == top)]
        if start == top:
            # An empty region may also be an eden region that nothing was allocated in yet.
            fitting = [at for at in fitting if words[at // 4] in (0, 2)]
    return fitting[0] if used and len(fitting) == 1 else None


def _shenandoah(vm: Reading, address: int, flags: dict[str, str]) -> _Totals:
    count, table = vm.field(address, "ShenandoahHeap._num_regions"), vm.field(address, "ShenandoahHeap._regions")
    committed = vm.field(address, "ShenandoahHeap._committed")
    used = vm.field(address, "ShenandoahHeap._used")
    if used is None:
        generation = vm.field(address, "ShenandoahHeap._global_generation")
        used = vm.field(generation, "ShenandoahGeneration._used")
    if used is None:
        used = vm.field(vm.field(address, "ShenandoahHeap._free_set"), "ShenandoahFreeSet._total_global_used")
    offsets = [vm.offset(f"ShenandoahHeapRegion.{name}") for name in ("_bottom", "_end", "_top", "_state")]
    bottom_at, end_at, top_at, state_at = offsets
    unreadable = _Totals(
        [], (), committed, used, [problem("ShenandoahHeap::_regions", "the table of regions can't be read")]
    )
    if bottom_at is None or end_at is None or top_at is None or state_at is None:
        return unreadable
    if not table or not count or count > MAX_REGIONS:
        return unreadable
    names = {}
    for name, kind in (
        ("_empty_uncommitted", "uncommitted"),
        ("_empty_committed", "free"),
        ("_regular", "regular"),
        ("_humongous_start", "humongous"),
        ("_humongous_cont", "humongous"),
        ("_pinned_humongous_start", "humongous"),
        ("_cset", "collection set"),
        ("_pinned", "pinned"),
        ("_pinned_cset", "collection set"),
        ("_trash", "trash"),
    ):
        value = vm.constant(f"ShenandoahHeapRegion::{name}")
        if value is not None:
            names[value] = (kind, "humongous_start" in name, name == "_humongous_cont")
    areas = []
    data = vm.memory.read_some(table, 8 * count)
    for (region,) in struct.iter_unpack("<Q", data[: len(data) & ~7]):
        start, end, top = vm.word(region + bottom_at), vm.word(region + end_at), vm.word(region + top_at)
        state = vm.u32(region + state_at)
        if start is None or end is None or top is None or state is None or not start <= top <= end:
            continue
        kind, first, continues = names.get(state, ("region", False, False))
        areas.append(Area(kind, start, end, top, first, continues))
    problems = []
    if len(areas) != count:
        problems.append(problem("ShenandoahHeapRegion", f"{count - len(areas)} of {count} regions can't be read"))
    if used is None:
        used = sum(area.top - area.start for area in areas)
    return _Totals(areas, _by_kind(areas), committed, used, problems)


def _z(vm: Reading, address: int, flags: dict[str, str]) -> _Totals:
    # JDK 21 has two: the generational one under Z names, the other under X names.
    letter = "X" if flags.get("ZGenerational") == "false" else "Z"
    inner = vm.at(address, f"{letter}CollectedHeap._heap")
    allocator = vm.at(inner, f"{letter}Heap._page_allocator")
    capacity = vm.field(allocator, f"{letter}PageAllocator._capacity")
    used = vm.field(allocator, f"{letter}PageAllocator._used")
    if capacity is None and vm.offset("ZPartition._capacity") is not None:
        capacity, used = _z_partitions(vm, allocator)
    if capacity is None and vm.offset("ZPhysicalMemoryManager._capacity") is not None:
        physical = vm.at(allocator, "ZPageAllocator._physical")
        capacity = vm.field(physical, "ZPhysicalMemoryManager._capacity")
    areas, problems = _z_pages(vm, inner, letter)
    return _Totals(areas, _by_kind(areas), capacity, used, problems)


def _z_partitions(vm: Reading, allocator: int | None) -> tuple[int | None, int | None]:
    """Capacity and use, kept by NUMA node since JDK 25."""
    place = vm.at(allocator, "ZPageAllocator._partitions")
    first = vm.field(place, "ZPerNUMAZPartition._addr")
    nodes = vm.u32(vm.static("ZNUMA._count")) or 1
    capacity = used = 0
    for node in range(min(nodes, _MAX_NUMA)):
        partition = first + node * _Z_NUMA_STRIDE if first else None
        holds, in_use = vm.field(partition, "ZPartition._capacity"), vm.field(partition, "ZPartition._used")
        if holds is None or in_use is None:
            return None, None
        capacity += holds
        used += in_use
    return capacity, used


def _z_pages(vm: Reading, inner: int | None, letter: str) -> tuple[list[Area], list[Problem]]:
    """The pages of the page table, each once; addresses with the bits that the heap is mapped at."""
    table = vm.at(inner, f"{letter}Heap._page_table")
    granules = vm.at(table, f"{letter}PageTable._map")
    place = vm.at(granules, f"{letter}GranuleMapForPageTable._map")
    entries = vm.word(place)
    # The number of entries precedes the pointer to them (ZGranuleMap: _size, _map).
    count = vm.word(place - 8) if place else None
    if not entries or not count or count > _Z_MAX_GRANULES:
        return [], [problem(f"{letter}PageTable", "the pages can't be listed")]
    pages: dict[int, None] = {}
    for offset in range(0, 8 * count, len(_Z_EMPTY)):
        data = vm.memory.read_some(entries + offset, min(len(_Z_EMPTY), 8 * count - offset))
        if data == _Z_EMPTY[: len(data)]:
            continue
        for (page,) in struct.iter_unpack("<Q", data[: len(data) & ~7]):
            if page:
                pages[page] = None
        if len(pages) > MAX_REGIONS:
            break
    globals_at = vm.static_word(f"{letter}GlobalsForVMStructs._instance_p")
    good = vm.word(vm.field(globals_at, f"{letter}GlobalsForVMStructs._{letter}AddressGoodMask"))
    mask = vm.word(vm.field(globals_at, f"{letter}GlobalsForVMStructs._{letter}AddressOffsetMask"))
    heap_bits = good if good is not None else (mask + 1 if mask is not None else 0)
    virtual_at = vm.offset(f"{letter}Page._virtual")
    names = {
        vm.constant("ZPageType::small", "ZPageTypeSmall", "XPageTypeSmall"): "small pages",
        vm.constant("ZPageType::medium", "ZPageTypeMedium", "XPageTypeMedium"): "medium pages",
        vm.constant("ZPageType::large", "ZPageTypeLarge", "XPageTypeLarge"): "large pages",
    }
    sized = vm.offset(f"{letter}VirtualMemory._size") is not None
    areas = []
    for page in pages:
        virtual = page + virtual_at if virtual_at is not None else None
        start = vm.field(virtual, f"{letter}VirtualMemory._start")
        end = vm.field(virtual, f"{letter}VirtualMemory._size", f"{letter}VirtualMemory._end")
        top = vm.field(page, f"{letter}Page._top")
        if start is None or end is None or top is None:
            continue
        end = start + end if sized else end
        if not start <= top <= end:
            continue
        kind = names.get(vm.byte(vm.at(page, f"{letter}Page._type")), "pages")
        areas.append(Area(kind, start | heap_bits, end | heap_bits, top | heap_bits, kind == "large pages"))
    problems = []
    if len(areas) != len(pages):
        problems.append(problem(f"{letter}Page", f"{len(pages) - len(areas)} of {len(pages)} pages can't be read"))
    areas.sort(key=lambda area: area.start)
    return areas, problems
