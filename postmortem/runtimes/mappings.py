"""Every mapping of the process with what it is used for."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from parsers.elf.notes import AT_PHDR, AT_RANDOM, AT_SYSINFO_EHDR
from postmortem.machines.machine import machine_of
from postmortem.model import Address, Mapping, Memory
from postmortem.runtimes.native.arenas import ARENA, arenas
from postmortem.runtimes.native.arenas import kind as malloc_kind
from postmortem.targets.files import size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from parsers.elf.core import Core, Segment
    from postmortem.budget import Budget
    from postmortem.model import Crash
    from postmortem.program.memory import AddressSpace
    from postmortem.program.modules import ModuleMap
    from postmortem.targets.files import SearchPath

_LARGEST_GUARD = 1 << 20
_PAGE, _MOST_PARTS = 4096, 1024
_SIGBUS = 7
_FARTHEST_BREAK = 1 << 34
_LARGEST_SUM = (1 << 63) - 1
"""Of hostile segments that overlap; a report's integers have 64 bits."""


def mappings(
    core: Core, modules: ModuleMap, space: AddressSpace, known: Iterable[tuple[int, int, str]]
) -> tuple[Mapping, ...]:
    """All mappings, ascending, cut where several uses share one. known: (start, end, kind) of what a runtime named."""
    areas = sorted([*known, *((heap.start, heap.start + heap.size, ARENA) for heap in arenas(core, space))])
    area_starts = [area[0] for area in areas]
    file_starts = [row.start for row in core.files]
    main = core.process.pid if core.process is not None else None
    sp_name = machine_of(core.machine).sp_name
    stacks = {thread.registers[sp_name]: thread.tid for thread in core.threads}
    start_strings = core.auxv.get(AT_RANDOM)
    if start_strings is not None and main is not None:
        # argv, environment and AT_RANDOM's bytes lie at the top of the main stack, wherever rsp has gone.
        stacks[start_strings] = main
    pointers = sorted(stacks)
    program_break = _program_break(core, modules)
    result: list[Mapping] = []
    for index, whole in enumerate(core.segments):
        at = bisect_right(file_starts, whole.start) - 1
        row = core.files[at] if at >= 0 and whole.start < core.files[at].end else None
        path = row.path if row is not None else None
        for segment in _parts(whole, areas, area_starts) if row is None else (whole,):
            kind = None
            at = bisect_right(area_starts, segment.start) - 1
            if at >= 0 and segment.start < areas[at][1]:
                kind = areas[at][2]
            if kind is None:
                at = bisect_right(pointers, segment.start)
                if at < len(pointers) and pointers[at] < segment.end and row is None and "r" in segment.permissions:
                    tid = stacks[pointers[at]]
                    kind = "stack of the main thread" if tid == main else f"stack of thread {tid}"
            result.append(
                Mapping(
                    start=Address(segment.start),
                    end=Address(segment.end),
                    permissions=segment.permissions,
                    offset=None if row is None else row.offset + segment.start - row.start,
                    path=path,
                    kind=kind
                    or _kind(core, index, segment, path, modules, program_break)
                    or malloc_kind(segment, space)
                    or "anonymous",
                    dumped=segment.dumped,
                )
            )
    return tuple(result)


def _parts(segment: Segment, areas: Sequence[tuple[int, int, str]], starts: Sequence[int]) -> tuple[Segment, ...]:
    """A mapping cut where the areas in it begin and end: the kernel joins neighbours of one kind to one mapping."""
    first = max(bisect_right(starts, segment.start) - 1, 0)
    last = bisect_right(starts, segment.end - 1)
    cuts = {segment.start, segment.end}
    for start, end, _ in areas[first:last]:
        cuts.update(at for at in (start & -_PAGE, -(-end // _PAGE) * _PAGE) if segment.start < at < segment.end)
    if len(cuts) == 2 or len(cuts) > _MOST_PARTS:
        return (segment,)
    edges = sorted(cuts)
    return tuple(
        segment._replace(
            start=start,
            end=end,
            offset=segment.offset + start - segment.start,
            dumped=max(0, min(end - start, segment.dumped - (start - segment.start))),
            claimed=max(0, min(end - start, segment.claimed - (start - segment.start))),
        )
        for start, end in itertools.pairwise(edges)
    )


def _kind(
    core: Core, index: int, segment: Segment, path: str | None, modules: ModuleMap, program_break: int | None
) -> str | None:
    if path is not None:
        if path.startswith(("/SYSV", "/dev/shm/", "/memfd:")):
            return "shared memory"
        module = modules.at(segment.start)
        return "module" if module is not None and module.path == path else "file"
    vdso = core.auxv.get(AT_SYSINFO_EHDR)
    if vdso is not None and segment.start <= vdso < segment.end:
        return "vdso"
    if vdso is not None and segment.end <= vdso <= segment.end + 0x8000 and segment.permissions == "r--":
        return "vvar"
    if not segment.flags & 7:
        following = core.segments[index + 1] if index + 1 < len(core.segments) else None
        size = segment.end - segment.start
        if size <= _LARGEST_GUARD and following is not None and following.start == segment.end:
            return "guard"
        return "reserved"
    module = modules.at(segment.start)
    if module is not None:
        return "module"
    previous = core.segments[index - 1] if index else None
    if previous is not None:
        owner = modules.at(previous.start)
        if owner is not None and previous.end == segment.start and segment.start < owner.end:
            return "module"
    return "heap" if segment.start == program_break else None


def _program_break(core: Core, modules: ModuleMap) -> int | None:
    """The start of [heap]: the first anonymous rw- mapping above the executable, not too far: the gap is randomized."""
    phdr = core.auxv.get(AT_PHDR)
    executable = modules.at(phdr) if phdr else None
    if executable is None:
        return None
    first = bisect_right(core.segments, executable.end - 1, key=lambda item: item.start)
    for segment in core.segments[first:]:
        if segment.start >= executable.end + _FARTHEST_BREAK:
            return None
        if segment.permissions == "rw-":
            return segment.start
    return None


def with_file_size(found: tuple[Mapping, ...], crash: Crash, search: SearchPath) -> tuple[Mapping, ...]:
    """The mappings; the one that raised SIGBUS has the size that its file has now."""
    address = crash.fault_address
    if address is None or crash.signal is None or crash.signal.number != _SIGBUS:
        return found
    return tuple(
        msgspec.structs.replace(mapping, file_size=size_of(mapping.path, search))
        if mapping.path is not None and mapping.start <= address < mapping.end
        else mapping
        for mapping in found
    )


def memory(found: tuple[Mapping, ...], count: int) -> Memory:
    """Bytes of address space by kind; stacks of all threads together. count: of the kernel's mappings."""
    sizes: Counter[str] = Counter()
    for mapping in found:
        kind = mapping.kind or "anonymous"
        sizes["thread stacks" if kind.startswith("stack of") else kind] += mapping.end - mapping.start
    return Memory(
        by_kind={kind: min(size, _LARGEST_SUM) for kind, size in sizes.most_common()},
        mappings=count,
        dumped=sum(mapping.dumped for mapping in found),
    )


def listed(found: tuple[Mapping, ...], budget: Budget) -> tuple[Mapping, ...]:
    """The mappings that the report lists: the lowest ones, when there are too many."""
    most = budget.left("mappings")
    if len(found) > most:
        budget.miss("mappings", len(found) - most)
    return found[:most]
