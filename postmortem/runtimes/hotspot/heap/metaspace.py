"""Metaspace, and the classes by the loader that defined them.

The tables say nothing of metaspace, so its sizes come from the VM's own counters by symbol (layouts
below), or from the hsperfdata counters, which are as old as the last collection. Classes are counted by
walking ClassLoaderDataGraph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.model.jvm import ClassLoader, Metaspace
from postmortem.runtimes.hotspot.layout.reading import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.model import Problem
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_LOADERS = LIMITS.metaspace_loaders
_UNLIMITED = 1 << 62

# All but the class space, and the class space: MetaspaceContext, and the counter that older JDKs have.
_CONTEXTS = (
    (
        "_ZN9metaspace16MetaspaceContext23_nonclass_space_contextE",
        "_ZN9metaspace15RunningCounters22_used_nonclass_counterE",
    ),
    (
        "_ZN9metaspace16MetaspaceContext20_class_space_contextE",
        "_ZN9metaspace15RunningCounters19_used_class_counterE",
    ),
)


class _Sizes(NamedTuple):
    """Bytes: all of metaspace, and the compressed class space's part of it."""

    used: int | None
    committed: int | None
    class_used: int | None
    class_committed: int | None


def metaspace(
    vm: Reading, oops: Oops, symbol: Callable[[str], int | None], flags: dict[str, str], counters: dict[str, str]
) -> tuple[Metaspace, tuple[ClassLoader, ...], list[Problem]]:
    """Sizes, limits (None: unlimited) and counts, and the class loaders with most classes first."""
    sizes = _context_sizes(vm, symbol) or _old_sizes(vm, symbol)
    problems: list[Problem] = []
    if sizes is None:
        sizes = _counted(counters)
        what = "sizes are those of the last collection, from the performance counters"
        if sizes.used is None:
            what = "its sizes can't be had: libjvm's symbol table is stripped and there are no performance counters"
        problems.append(problem("Metaspace", what, "install the JDK's debug symbols"))
    loaders, classes, found_problems = _loaders(vm, oops)
    problems.extend(found_problems)
    summary = Metaspace(
        used=sizes.used,
        committed=sizes.committed,
        maximum=_limit(flags.get("MaxMetaspaceSize")),
        class_used=sizes.class_used,
        class_committed=sizes.class_committed,
        class_maximum=_limit(flags.get("CompressedClassSpaceSize")) if oops.narrow_klass else None,
        loaders=len(loaders) if loaders else None,
        classes=classes if loaders else None,
    )
    return summary, loaders, problems


def _limit(value: str | None) -> int | None:
    number = int(value) if value and value.isdigit() else None
    return None if number is None or number >= _UNLIMITED else number


def _context_sizes(vm: Reading, symbol: Callable[[str], int | None]) -> _Sizes | None:
    """JDK 16 and newer.

    MetaspaceContext {name, VirtualSpaceList*, ChunkManager*, (25 and newer) used words};
    VirtualSpaceList {vtable, name, first node, …, committed limiter, reserved words, committed words}.
    Before 25 the used words are counters of RunningCounters.
    """
    totals = []
    for context_name, counter_name in _CONTEXTS:
        place = symbol(context_name)
        if place is None:
            return None
        context = vm.word(place)
        if context == 0:
            totals.append((0, 0))  # no compressed class space
            continue
        spaces = vm.word(context + 8) if context else None
        committed = vm.word(spaces + 48) if spaces else None
        counter = symbol(counter_name)
        used = vm.word(counter) if counter is not None else vm.word(context + 24 if context else None)
        if committed is None or used is None or not used <= committed < 1 << 48:
            return None
        totals.append((8 * used, 8 * committed))
    (used, committed), (class_used, class_committed) = totals
    return _Sizes(used + class_used, committed + class_committed, class_used, class_committed)


def _old_sizes(vm: Reading, symbol: Callable[[str], int | None]) -> _Sizes | None:
    """JDK 9 to 15: words used by kind (class, other); VirtualSpaceList {…, reserved words @24, committed words @32}."""
    used_at = symbol("_ZN14MetaspaceUtils11_used_wordsE")
    spaces = [vm.word(symbol(name)) for name in ("_ZN9Metaspace11_space_listE", "_ZN9Metaspace17_class_space_listE")]
    if used_at is None or not spaces[0]:
        return None
    class_used, other_used = vm.word(used_at), vm.word(used_at + 8)
    other = vm.word(spaces[0] + 32)
    of_classes = vm.word(spaces[1] + 32) if spaces[1] else 0
    if class_used is None or other_used is None or other is None or of_classes is None:
        return None
    if max(class_used, other_used, other, of_classes) >= 1 << 48:
        return None
    return _Sizes(8 * (class_used + other_used), 8 * (other + of_classes), 8 * class_used, 8 * of_classes)


def _counted(counters: dict[str, str]) -> _Sizes:
    def counter(name: str) -> int | None:
        text = counters.get(name, "")
        return int(text) if text.isdigit() and text != "0" else None

    return _Sizes(
        counter("sun.gc.metaspace.used"),
        counter("sun.gc.metaspace.capacity"),
        counter("sun.gc.compressedclassspace.used"),
        counter("sun.gc.compressedclassspace.capacity"),
    )


def loader_data(vm: Reading) -> Iterator[int]:
    """All ClassLoaderData, those of hidden classes included."""
    address = vm.static_word("ClassLoaderDataGraph._head")
    seen: set[int] = set()
    next_at = vm.offset("ClassLoaderData._next")
    while address and address not in seen and len(seen) < _MAX_LOADERS and next_at is not None:
        seen.add(address)
        yield address
        address = vm.word(address + next_at)


def classes_of(vm: Reading, data: int, klasses_at: int, link_at: int) -> Iterator[int]:
    """The Klass* of a ClassLoaderData, arrays included."""
    klass = vm.word(data + klasses_at)
    seen: set[int] = set()
    while klass and klass not in seen and vm.memory.budget.take("list_items"):
        seen.add(klass)
        yield klass
        klass = vm.word(klass + link_at)


def class_links(vm: Reading) -> tuple[int, int] | None:
    """Offsets of ClassLoaderData::_klasses and Klass::_next_link.

    JDK 8 exports neither. There the link follows Klass::_next_sibling, and the list's head is the one
    word of the boot loader's data that points at a class of that loader.
    """
    klasses_at, link_at = vm.offset("ClassLoaderData._klasses"), vm.offset("Klass._next_link")
    if klasses_at is not None and link_at is not None:
        return klasses_at, link_at
    sibling, owner = vm.offset("Klass._next_sibling"), vm.offset("InstanceKlass._class_loader_data")
    if sibling is None or owner is None:
        return None
    for data in loader_data(vm):
        fitting = []
        for at in range(8, 256, 8):
            klass = vm.word(data + at)
            if klass and klass & 7 == 0 and vm.word(klass + owner) == data:
                fitting.append(at)
        if len(fitting) == 1:
            return fitting[0], sibling + 8
    return None


def _loaders(vm: Reading, oops: Oops) -> tuple[tuple[ClassLoader, ...], int, list[Problem]]:
    links = class_links(vm)
    if links is None:
        return (), 0, [problem("ClassLoaderDataGraph", "the classes can't be listed")]
    klasses_at, link_at = links
    counts: dict[int, int] = {}
    total = 0
    for data in loader_data(vm):
        loader = _loader(vm, oops, data)
        count = sum(1 for _ in classes_of(vm, data, klasses_at, link_at))
        counts[loader] = counts.get(loader, 0) + count
        total += count
    if not counts:
        return (), 0, [problem("ClassLoaderDataGraph", "it is empty or can't be read")]
    named = [ClassLoader(name=_loader_name(oops, loader), classes=count) for loader, count in counts.items()]
    named.sort(key=lambda loader: (-loader.classes, loader.name))
    return tuple(named), total, []


def _loader(vm: Reading, oops: Oops, data: int) -> int:
    """The java.lang.ClassLoader object; 0 for the boot loader, -1 where it can't be read."""
    place = vm.at(data, "ClassLoaderData._class_loader")
    behind_handle = vm.type_string("ClassLoaderData._class_loader") == "OopHandle"
    loader = oops.handle(place) if behind_handle else vm.word(place)
    return -1 if loader is None else loader


def _loader_name(oops: Oops, loader: int) -> str:
    """boot; "app (its class)" for a named loader; "class @address" for the others."""
    if loader == 0:
        return "boot"
    kind = oops.class_of(loader) if loader > 0 else None
    if kind is None:
        return "unreadable"
    name = oops.text(oops.oop_field(loader, "name"), 4096)
    return f"{name} ({kind})" if name else f"{kind} @{loader:#x}"
