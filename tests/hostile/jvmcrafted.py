"""Hostile JVM cores: structures of the VM in a real core, changed as an attacker would who has the source at hand.

Each function gives the patches, (address, new bytes), for the structures of the VM that the core has, or None where
this VM has no such thing. They aim at time and memory beyond the size of the core: counts, strides, lists in a circle,
strings without end, all elements at one place.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from postmortem.runtimes.hotspot import attach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Patches = list[tuple[int, bytes]]
_Q = struct.Struct("<Q")

CRAFTED: list[Callable[[Vm], Patches | None]] = []


def crafted(make: Callable[[Vm], Patches | None]) -> Callable[[Vm], Patches | None]:
    CRAFTED.append(make)
    return make


def words(*values: int) -> bytes:
    return b"".join(_Q.pack(value & (1 << 64) - 1) for value in values)


class Vm:
    """The VM of a core while it is analyzed. room: (address, size) of memory of the core that nothing else needs."""

    def __init__(self, hotspot: Any, room: tuple[int, int]) -> None:
        self.read, self.oops, self.names = hotspot._vm, hotspot._oops, hotspot._names
        self.threads = hotspot._threads
        self.room, self.size = room

    def symbol(self, name: str) -> int | None:
        found: int | None = self.names.address(name)
        return found

    def table(self, table: str, entry: str) -> tuple[int, int] | None:
        """(address, stride) of one of the tables that describe the VM."""
        place, stride = self.symbol(table), self.symbol(f"{entry}ArrayStride")
        at = self.read.memory.word(place) if place else None
        step = self.read.memory.word(stride) if stride else None
        return (at, step) if at and step else None

    def set_size(self, types: tuple[str, ...], size: int) -> Patches | None:
        """sizeof a type in gHotSpotVMTypes."""
        found = self.table("gHotSpotVMTypes", "gHotSpotVMTypeEntry")
        name_at, size_at = (self.symbol(f"gHotSpotVMTypeEntry{part}Offset") for part in ("TypeName", "Size"))
        if found is None or name_at is None or size_at is None:
            return None
        at, stride = found
        name_offset, size_offset = self.read.memory.word(name_at), self.read.memory.word(size_at)
        while True:
            name = self.read.memory.word(at + name_offset)
            if not name:
                return None
            if self.read.text(name) in types:
                return [(at + size_offset, words(size))]
            at += stride

    def spread(self, data: bytes, offset: int = 0) -> tuple[int, Patches]:
        """The address of the data in the room, and the patch that puts it there."""
        data = data[: self.size - offset]
        return self.room + offset, [(self.room + offset, data)]


@contextmanager
def seen(take: Callable[[Vm], None], room: tuple[int, int]) -> Iterator[None]:
    """While the block runs, each VM that is analyzed is given to `take` before its state is read."""
    whole = attach.HotSpot.state

    def state(self: Any, *arguments: Any, **more: Any) -> Any:
        take(Vm(self, room))
        return whole(self, *arguments, **more)

    attach.HotSpot.state = state  # type: ignore[method-assign]
    try:
        yield
    finally:
        attach.HotSpot.state = whole  # type: ignore[method-assign]


# The tables that describe the VM


@crafted
def flags_of_the_largest_count(vm: Vm) -> Patches | None:
    place = vm.read.static("JVMFlag.numFlags", "Flag.numFlags")
    return [(place, words(8192))] if place else None


@crafted
def flags_that_are_terabytes_apart(vm: Vm) -> Patches | None:
    return vm.set_size(("JVMFlag", "Flag"), 1 << 44)


@crafted
def flags_that_are_at_one_place(vm: Vm) -> Patches | None:
    return vm.set_size(("JVMFlag", "Flag"), 0)


@crafted
def flags_whose_values_are_one_long_string(vm: Vm) -> Patches | None:
    """Every flag is a string, and every string the same 64 kB."""
    table, count = (
        vm.read.static_word("JVMFlag.flags", "Flag.flags"),
        vm.read.static_word("JVMFlag.numFlags", "Flag.numFlags"),
    )
    size, kind = vm.read.size("JVMFlag", "Flag"), vm.read.offset("JVMFlag._type", "Flag._type")
    address = vm.read.offset("JVMFlag._addr", "Flag._addr")
    if None in (table, count, size, kind, address):
        return None
    text, patches = vm.spread(words(vm.room + 8) + b"A" * 65_000 + b"\0")
    by_name = vm.read.type_string("JVMFlag._type") != "int"
    name, more = vm.spread(b"ccstr\0", 70_000)
    for number in range(count):
        patches.append((table + number * size + address, words(text)))
        patches.append((table + number * size + kind, words(name) if by_name else struct.pack("<I", 8)))
    return patches + more


@crafted
def sizes_of_threads(vm: Vm) -> Patches | None:
    return vm.set_size(("JavaThread",), 1 << 62)


@crafted
def sizes_of_threads_in_the_megabytes(vm: Vm) -> Patches | None:
    return vm.set_size(("JavaThread",), 1 << 24)


@crafted
def sizes_of_methods(vm: Vm) -> Patches | None:
    return vm.set_size(("ConstMethod",), 1 << 50)


@crafted
def fields_without_end(vm: Vm) -> Patches | None:
    """The table of fields is 32,768 rows of the same field, at offsets of all sizes."""
    place, found = vm.symbol("gHotSpotVMStructs"), vm.table("gHotSpotVMStructs", "gHotSpotVMStructEntry")
    if place is None or found is None:
        return None
    row = vm.read.memory.read(*found)
    table, patches = vm.spread(row * 40_000)
    return [*patches, (place, words(table))]


@crafted
def strides_of_one_byte(vm: Vm) -> Patches | None:
    place = vm.symbol("gHotSpotVMStructEntryArrayStride")
    return [(place, words(8))] if place else None


# Arguments, properties, counters, events


@crafted
def arguments_at_one_string(vm: Vm) -> Patches | None:
    """16,384 arguments, all the same string of a megabyte."""
    count, array = vm.read.static("Arguments._num_jvm_args"), vm.read.static("Arguments._jvm_args_array")
    if count is None or array is None:
        return None
    text, patches = vm.spread(b"-Dsecret=" + b"A" * 1_000_000 + b"\0", 1 << 18)
    table, more = vm.spread(words(*[text] * 16_384))
    return [*patches, *more, (count, struct.pack("<I", 16_384)), (array, words(table))]


def _properties(vm: Vm) -> tuple[int, int, int] | None:
    """(table, its first node, the holder) of java.lang.System.props."""
    system = vm.oops.well_known("System")
    props = vm.oops.static_oop(system, "props") if system is not None else None
    holder = (vm.oops.oop_field(props, "map") or props) if props else None
    table = vm.oops.oop_field(holder, "table") if holder else None
    node = next((bucket for bucket in vm.oops.elements(table, 65_536) if bucket), None) if table else None
    return (table, node, holder) if table and node and holder else None


def _elements_at(vm: Vm, array: int) -> tuple[int, int, int] | None:
    """(address of the first element, bytes of an element, address of the length) of an array of objects."""
    length = next((at for at in (12, 16, 20) if 0 < (vm.read.u32(array + at) or 0) < 1 << 20), None)
    if length is None:
        return None
    wide = 8 if length == 16 and vm.read.u32(array + 20) == 0 else 4
    first = length + 4 if wide == 4 else (length + 11) & ~7
    return array + first, wide, array + length


def _one_node_everywhere(vm: Vm) -> tuple[int, bytes, Patches] | None:
    """The address of a node of the system properties, the reference to it, and 65,536 buckets that hold only it."""
    found = _properties(vm)
    elements = _elements_at(vm, found[0]) if found else None
    if found is None or elements is None:
        return None
    first, wide, length = elements
    raw = next(
        vm.read.memory.read(first + wide * index, wide)
        for index in range(vm.read.u32(length))
        if any(vm.read.memory.read(first + wide * index, wide) or b"")
    )
    return found[1], raw, [(length, struct.pack("<I", 65_536)), (first, raw * 65_536)]


@crafted
def properties_in_a_circle(vm: Vm) -> Patches | None:
    """65,536 buckets, each the same node, which is its own successor."""
    made = _one_node_everywhere(vm)
    if made is None:
        return None
    node, raw, patches = made
    # Whatever a word of the node says, it says the node itself: the key is no text, and the next is this one.
    for at in range(16, 40, len(raw)):
        patches.append((node + at, raw))
    return patches


@crafted
def properties_one_key_in_a_circle(vm: Vm) -> Patches | None:
    """As above, but the key is a text: what was found does not grow."""
    made = _one_node_everywhere(vm)
    if made is None:
        return None
    node, raw, patches = made
    return [*patches, (node + (24 if len(raw) == 4 else 40), raw)]


def _perfdata(vm: Vm, entries: bytes, first: int, count: int) -> Patches | None:
    start, capacity = vm.read.static("PerfMemory._start"), vm.read.static("PerfMemory._capacity")
    places = [vm.read.offset(f"PerfDataPrologue.{name}") for name in ("entry_offset", "num_entries")]
    if start is None or capacity is None or None in places:
        return None
    data = bytearray(first) if first > 0 else bytearray(64)
    struct.pack_into("<i", data, places[0], first)
    struct.pack_into("<i", data, places[1], count)
    at, patches = vm.spread(bytes(data) + entries)
    return [*patches, (start, words(at)), (capacity, words(1 << 40))]


@crafted
def counters_without_end(vm: Vm) -> Patches | None:
    entry = struct.pack("<iiibbbbi", 32, 20, 0, ord("J"), 0, 0, 0, 24) + b"abc\0" + bytes(8)
    return _perfdata(vm, entry * 100_000, 64, (1 << 31) - 1)


@crafted
def counters_of_megabytes(vm: Vm) -> Patches | None:
    """Sixteen strings of a megabyte."""
    return _perfdata(
        vm,
        b"".join(
            struct.pack("<iiibbbbi", 200_032, 20, 200_000, ord("B"), 0, 0, 0, 32)
            + b"c%07d\0\0\0\0" % n
            + b"x" * 200_000
            for n in range(18)
        ),
        64,
        18,
    )


@crafted
def counters_before_their_beginning(vm: Vm) -> Patches | None:
    return _perfdata(vm, b"", -64, 1 << 20)


def _events(vm: Vm, length: int, size: int) -> Patches | None:
    """One ring whose records are all of the room; every ring of the list is this one."""
    place = next((found for name in ("_ZN6Events5_logsE", "_ZL15event_logs_list") if (found := vm.symbol(name))), None)
    if place is None:
        return None
    records = bytearray(b"e" * min(vm.size - 4096, length * size))
    for at in range(0, len(records) - 32, size):
        struct.pack_into("<dQQ", records, at, 1.0, 0, vm.room + 4096 + at + 24)
    rings = bytearray(4096)
    name = vm.room + 3968
    for number in range(40):
        ring = words(0, vm.room + 96 * (number + 1), name, name) + struct.pack("<iiii", length, 0, length, 0)
        rings[96 * number : 96 * number + 56] = (ring + words(vm.room + 4096)).ljust(56, b"\0")
    rings[3968:3975] = b"Events\0"
    _, patches = vm.spread(bytes(rings) + bytes(records))
    return [*patches, (place, words(vm.room))]


@crafted
def events_of_the_largest_ring(vm: Vm) -> Patches | None:
    return _events(vm, 65_536, 32)


@crafted
def events_of_the_longest_text(vm: Vm) -> Patches | None:
    return _events(vm, 250, 16_000)


# Lists of threads, classes, loaders, code


@crafted
def threads_of_the_largest_count(vm: Vm) -> Patches | None:
    """A list of 2^31 threads, all the same one."""
    head = vm.read.static_word("ThreadsSMRSupport._java_thread_list")
    length, array = vm.read.at(head, "ThreadsList._length"), vm.read.field(head, "ThreadsList._threads")
    if not length or not array:
        return None
    table, patches = vm.spread(words(*[vm.read.word(array)] * 130_000))
    place = vm.read.at(head, "ThreadsList._threads")
    return [*patches, (place, words(table)), (length, struct.pack("<I", (1 << 31) - 1))]


@crafted
def threads_that_differ_by_a_word(vm: Vm) -> Patches | None:
    """130,000 threads, each eight bytes behind the other."""
    head = vm.read.static_word("ThreadsSMRSupport._java_thread_list")
    length, place = vm.read.at(head, "ThreadsList._length"), vm.read.at(head, "ThreadsList._threads")
    if not length or not place:
        return None
    table, patches = vm.spread(words(*range(vm.room + 2_000_000, vm.room + 3_040_000, 8)))
    return [*patches, (place, words(table)), (length, struct.pack("<I", 130_000))]


@crafted
def threads_in_a_circle(vm: Vm) -> Patches | None:
    head, after = vm.read.static_word("Threads._thread_list"), vm.read.offset("JavaThread._next")
    return [(head + after, words(head))] if head and after is not None else None


@crafted
def classes_in_a_circle(vm: Vm) -> Patches | None:
    head = vm.read.static_word("ClassLoaderDataGraph._head")
    klass, link = vm.read.field(head, "ClassLoaderData._klasses"), vm.read.offset("Klass._next_link")
    if not klass or link is None:
        return None
    second = vm.read.word(klass + link)
    return [(second + link, words(klass))] if second else [(klass + link, words(klass))]


@crafted
def loaders_without_end(vm: Vm) -> Patches | None:
    """A list of 40,000 loaders, whose classes are all one list."""
    place, after = vm.read.static("ClassLoaderDataGraph._head"), vm.read.offset("ClassLoaderData._next")
    klasses = vm.read.offset("ClassLoaderData._klasses")
    if place is None or after is None or klasses is None or not (head := vm.read.word(place)):
        return None
    first = vm.read.word(head + klasses) or 0
    step = (max(after, klasses) + 15) & ~7
    data = bytearray(step * 20_000)
    for number in range(20_000):
        struct.pack_into("<Q", data, step * number + after, vm.room + step * (number + 1))
        struct.pack_into("<Q", data, step * number + klasses, first)
    at, patches = vm.spread(bytes(data))
    return [*patches, (place, words(at))]


@crafted
def names_of_classes_of_the_longest(vm: Vm) -> Patches | None:
    """Every class has one name of 65,535 bytes."""
    head = vm.read.static_word("ClassLoaderDataGraph._head")
    klass, link = vm.read.field(head, "ClassLoaderData._klasses"), vm.read.offset("Klass._next_link")
    name = vm.read.offset("Klass._name")
    if not klass or link is None or name is None:
        return None
    # Symbol: length in its first or third halfword, by version; the body is a few bytes on.
    symbol, patches = vm.spread(b"\xff" * 8 + b"a" * 65_600)
    for _ in range(20_000):
        if not klass:
            break
        patches.append((klass + name, words(symbol)))
        klass = vm.read.word(klass + link)
    return patches


@crafted
def heaps_of_code_without_end(vm: Vm) -> Patches | None:
    heaps = vm.read.static_word("CodeCache._heaps")
    if not heaps:
        return None
    return [(heaps, struct.pack("<ii", (1 << 31) - 1, (1 << 31) - 1))]


@crafted
def code_that_is_one_block(vm: Vm) -> Patches | None:
    """The bounds of every code heap are those of the room, whose blocks have no length."""
    heaps = vm.read.static_word("CodeCache._heaps")
    array = vm.read.word(heaps + 8) if heaps else None
    places = [vm.read.at(vm.read.word(array + 8 * n) if array else None, "CodeHeap._memory") for n in range(3)]
    low, high = vm.read.offset("VirtualSpace._low"), vm.read.offset("VirtualSpace._high")
    if low is None or high is None or not any(places):
        return None
    _, patches = vm.spread(words(1, 0) * (vm.size // 16))
    for place in filter(None, places):
        patches += [(place + low, words(vm.room)), (place + high, words(vm.room + vm.size))]
    return patches


@crafted
def stacks_of_threads_without_end(vm: Vm) -> Patches | None:
    """Every Java thread's stack is all of memory."""
    base = vm.read.offset("Thread._stack_base", "JavaThread._stack_base")
    size = vm.read.offset("Thread._stack_size", "JavaThread._stack_size")
    if base is None or size is None:
        return None
    patches: Patches = []
    for address in _thread_addresses(vm):
        patches += [(address + base, words(1 << 47)), (address + size, words(1 << 47))]
    return patches or None


def _thread_addresses(vm: Vm) -> list[int]:
    head = vm.read.static_word("ThreadsSMRSupport._java_thread_list")
    if head:
        array = vm.read.field(head, "ThreadsList._threads")
        length = vm.read.u32(vm.read.at(head, "ThreadsList._length")) or 0
        return [at for at in (vm.read.memory.words(array, length) or ()) if at]
    found: list[int] = []
    thread = vm.read.static_word("Threads._thread_list")
    while thread and thread not in found and len(found) < 1000:
        found.append(thread)
        thread = vm.read.field(thread, "JavaThread._next")
    return found


@crafted
def anchors_that_lead_to_themselves(vm: Vm) -> Patches | None:
    """The last Java frame of every thread is where the anchor itself lies."""
    anchor = vm.read.offset("JavaThread._anchor")
    sp, fp = vm.read.offset("JavaFrameAnchor._last_Java_sp"), vm.read.offset("JavaFrameAnchor._last_Java_fp")
    if anchor is None or sp is None:
        return None
    patches: Patches = []
    for address in _thread_addresses(vm):
        at = address + anchor
        patches.append((at + sp, words(at + sp)))
        if fp is not None:
            patches.append((at + fp, words(at + sp)))
    return patches or None


@crafted
def monitors_of_each_other(vm: Vm) -> Patches | None:
    """Every thread waits for a monitor that lies in the room and is owned by the next thread."""
    pending = vm.read.offset("JavaThread._current_pending_monitor", "Thread._current_pending_monitor")
    owner = vm.read.offset("ObjectMonitor._owner")
    threads = _thread_addresses(vm)
    if pending is None or owner is None or not threads:
        return None
    data = bytearray(512 * len(threads))
    patches: Patches = []
    for number, address in enumerate(threads):
        struct.pack_into("<Q", data, 512 * number + owner, threads[(number + 1) % len(threads)])
        patches.append((address + pending, words(vm.room + 512 * number)))
    return [*patches, *vm.spread(bytes(data))[1]]


# Objects


@crafted
def names_of_threads_without_end(vm: Vm) -> Patches | None:
    """The characters of every thread's name are 2^31 - 1."""
    patches: Patches = []
    for thread in getattr(vm.threads, "threads", vm.threads):
        oop = getattr(thread, "oop", None) or getattr(thread, "object", None)
        name = vm.oops.oop_field(oop, "name") if oop else None
        value = vm.oops.oop_field(name, "value") if name else None
        elements = _elements_at(vm, value) if value else None
        if elements is not None:
            patches.append((elements[2], struct.pack("<I", (1 << 31) - 1)))
    return patches or None


@crafted
def objects_of_no_size(vm: Vm) -> Patches | None:
    """Every class says that its objects have no bytes: a walk over the heap stays where it is."""
    return _layout_helpers(vm, 0)


@crafted
def objects_of_the_largest_size(vm: Vm) -> Patches | None:
    return _layout_helpers(vm, 0x7FFFFFF8)


@crafted
def arrays_of_one_bit(vm: Vm) -> Patches | None:
    """Every class is one of arrays whose elements are of 2^31 bytes."""
    return _layout_helpers(vm, -0x80000000 | 0x1F)


def _layout_helpers(vm: Vm, value: int) -> Patches | None:
    head = vm.read.static_word("ClassLoaderDataGraph._head")
    link, helper = vm.read.offset("Klass._next_link"), vm.read.offset("Klass._layout_helper")
    patches: Patches = []
    seen: set[int] = set()
    while head and head not in seen and link is not None and helper is not None:
        seen.add(head)
        klass = vm.read.field(head, "ClassLoaderData._klasses")
        while klass and klass not in seen and len(patches) < 20_000:
            seen.add(klass)
            patches.append((klass + helper, struct.pack("<i", value)))
            klass = vm.read.word(klass + link)
        head = vm.read.field(head, "ClassLoaderData._next")
    return patches or None


@crafted
def regions_of_one_byte(vm: Vm) -> Patches | None:
    """G1's regions are of a byte each, and so there are 2^31 of them."""
    place = vm.read.static("G1HeapRegion.GrainBytes", "HeapRegion.GrainBytes")
    return [(place, words(1))] if place else None


@crafted
def a_heap_that_is_all_of_memory(vm: Vm) -> Patches | None:
    """The collector's own object is in the room, and every word of it is a large number."""
    place = vm.read.static("Universe._collectedHeap")
    if place is None or not (heap := vm.read.word(place)):
        return None
    return [(heap + 8 * number, words(1 << 46)) for number in range(1, 60)]


@crafted
def references_shifted_out_of_memory(vm: Vm) -> Patches | None:
    place = vm.read.static("CompressedOops._shift", "CompressedOops._narrow_oop._shift", "Universe._narrow_oop._shift")
    return [(place, struct.pack("<i", 63))] if place else None
