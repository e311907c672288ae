"""What the JVM uses its mappings for: ranges of addresses with a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.runtimes.hotspot.threads.list import java_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.model.jvm import CodeCache
    from postmortem.runtimes.hotspot.heap.heap import HeapState
    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_NODES = LIMITS.uses_nodes
_MAX_SIZE = 1 << 46
_MAX_STACK = LIMITS.uses_stack
_MANAGER_WORDS = 64
_PAGE = 4096


class Use(NamedTuple):
    """[start, end) serves as `kind`; the kinds are the constants of this module."""

    start: int
    end: int
    kind: str


HEAP = "java heap"
CODE = "code cache"
METASPACE = "metaspace"
CLASS_SPACE = "class space"
ARCHIVE = "cds archive"
STACK = "java thread stack"
CARDS = "gc card table"
COLLECTOR = "gc structures"


def uses(
    vm: Reading,
    symbol: Callable[[str], int | None],
    vtables: Callable[[int], str | None],
    state: HeapState,
    cache: CodeCache | None,
) -> tuple[Use, ...]:
    """Reserved ranges, ascending; they may reach beyond what is mapped, and what isn't known is left out.

    symbol, vtables: as of jvm_state.
    """
    found = [*_heap(vm, state), *_cards(vm, symbol)]
    known = {use.start for use in found}
    found.extend(use for use in _mappers(vm, vtables) if use.start not in known)
    if cache is not None:
        found.extend(Use(segment.start, segment.end, CODE) for segment in cache.segments)
    found.extend(_metaspace(vm, symbol))
    found.extend(_archive(vm))
    for thread in java_threads(vm):
        base, size = (
            vm.field(thread, "JavaThread._stack_base", "Thread._stack_base"),
            vm.field(thread, "JavaThread._stack_size", "Thread._stack_size"),
        )
        if base and size and size < min(base, _MAX_STACK):
            found.append(Use(base - size, base, STACK))
    return tuple(sorted(found))


def _heap(vm: Reading, state: HeapState) -> Iterator[Use]:
    if (state.heap.collector or "").startswith("Z"):
        # No single range: the pages in use, wherever they are mapped.
        for area in state.areas:
            yield Use(area.start, area.end, HEAP)
        return
    reserved = vm.at(vm.static_word("Universe._collectedHeap"), "CollectedHeap._reserved")
    start, words = vm.field(reserved, "MemRegion._start"), vm.field(reserved, "MemRegion._word_size")
    if start and words and 8 * words < _MAX_SIZE:
        yield Use(start, start + 8 * words, HEAP)


def _cards(vm: Reading, symbol: Callable[[str], int | None]) -> Iterator[Use]:
    """The table of dirty cards of Serial, Parallel and G1, a byte for each 512 of the heap."""
    barriers = vm.word(symbol("_ZN10BarrierSet12_barrier_setE"))
    table = vm.field(barriers, "CardTableBarrierSet._card_table")
    start, size = vm.field(table, "CardTable._byte_map"), vm.field(table, "CardTable._byte_map_size")
    if start and size and size < _MAX_SIZE:
        yield Use(start & -_PAGE, (start + size + _PAGE - 1) & -_PAGE, CARDS)


def _mappers(vm: Reading, vtables: Callable[[int], str | None]) -> Iterator[Use]:
    """What G1 keeps for each region: mark bitmaps, offset table, cards.

    HeapRegionManager has a pointer to a G1RegionToSpaceMapper {vtable, listener, G1PageBasedVirtualSpace {low boundary,
    high boundary, …}} for each (gc/g1/g1RegionToSpaceMapper.hpp); they are told by their vtables.
    """
    manager = vm.at(vm.static_word("Universe._collectedHeap"), "G1CollectedHeap._hrm")
    for word in vm.memory.words(manager, _MANAGER_WORDS) or () if manager else ():
        table = vm.word(word) if word and not word & 7 else None
        if not table or not (vtables(table) or "").endswith("CommitSizeMapper"):
            continue
        low, high = vm.word(word + 16), vm.word(word + 24)
        if low and high and low < high < low + _MAX_SIZE and not (low | high) & (_PAGE - 1):
            yield Use(low, high, COLLECTOR)


def _archive(vm: Reading) -> Iterator[Use]:
    """The class data sharing archive. Before JDK 12 only its mapped file tells."""
    start = vm.static_word("MetaspaceObj._aot_metaspace_base", "MetaspaceObj._shared_metaspace_base")
    end = vm.static_word("MetaspaceObj._aot_metaspace_top", "MetaspaceObj._shared_metaspace_top")
    if start and end and start < end < start + _MAX_SIZE:
        yield Use(start, end, ARCHIVE)


def _metaspace(vm: Reading, symbol: Callable[[str], int | None]) -> Iterator[Use]:
    """Nodes of the virtual space lists.

    JDK 16 and newer: MetaspaceContext {name, VirtualSpaceList*}, list {vtable, name, first node}, node
    {next, base, size}. JDK 9 to 15: list {first node}, node {next, is_class, base, size}.
    """
    for context, old_list, kind in (
        ("_ZN9metaspace16MetaspaceContext23_nonclass_space_contextE", "_ZN9Metaspace11_space_listE", METASPACE),
        ("_ZN9metaspace16MetaspaceContext20_class_space_contextE", "_ZN9Metaspace17_class_space_listE", CLASS_SPACE),
    ):
        place = symbol(context)
        if place is not None:
            owner = vm.word(place)
            spaces = vm.word(owner + 8) if owner else None
            node, base_at = vm.word(spaces + 16) if spaces else None, 8
        else:
            spaces = vm.word(symbol(old_list))
            node, base_at = vm.word(spaces), 16
        seen: set[int] = set()
        while node and node not in seen and len(seen) < _MAX_NODES:
            seen.add(node)
            start, size = vm.word(node + base_at), vm.word(node + base_at + 8)
            if start and size and size < _MAX_SIZE and not (start | size) & 0xFFF:
                yield Use(start, start + size, kind)
            node = vm.word(node)
