"""Threads: walked, their frames named, recursion folded."""

from __future__ import annotations

import functools
from bisect import bisect_right
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from parsers.limits import LIMITS
from postmortem.machines.x86_64 import steps as machine
from postmortem.model import Address, Cycle, Frame, Thread
from postmortem.model.thread import StackRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.elf import notes
    from parsers.elf.core import Core
    from parsers.elf.x86_64.prstatus import ThreadStatus
    from postmortem.model import JavaThread, Wait
    from postmortem.program.modules import LoadedModule, ModuleMap
    from postmortem.symbols.symbolizer import Location
    from postmortem.unwind.frame import RawFrame, SignalFrame, Walk
    from postmortem.unwind.walker import Walker

_LONGEST_PERIOD = 40
_LEAST_FOLDED = 10


class ThreadWalk(NamedTuple):
    """A thread as the core has it, with its walk."""

    status: ThreadStatus
    walk: Walk
    crashed: bool


class Fault(NamedTuple):
    """The fault to report.

    own: the core's siginfo. frame: the signal frame behind which the original fault was found, if any;
    info: the siginfo to report; registers: at the fault, by name; trap, error: the CPU's trap number and
    error code, from a signal frame. taker: the thread that took the core's signal.
    """

    tid: int
    taker: int
    own: notes.SignalInfo | None
    info: notes.SignalInfo | None
    frame: SignalFrame | None
    registers: dict[str, int]
    trap: int | None
    error: int | None


def walk_threads(walker: Walker, core: Core) -> list[ThreadWalk]:
    """Every thread walked, the one that took the signal first."""
    return [
        ThreadWalk(status, walker.walk(machine.from_prstatus(status.registers)), index == 0)
        for index, status in enumerate(core.threads)
    ]


def crashed_first(walks: list[ThreadWalk], fault: Fault | None) -> list[ThreadWalk]:
    """The same threads with that of the fault at their head."""
    if fault is None or fault.tid == fault.taker:
        return walks
    marked = [walked._replace(crashed=walked.status.tid == fault.tid) for walked in walks]
    return sorted(marked, key=lambda walked: not walked.crashed)


def stack_range(core: Core, sp: int) -> StackRange | None:
    """The mapping that holds sp, with the inaccessible one just below it if there is one."""
    segments = core.segments
    index = bisect_right(segments, sp, key=lambda segment: segment.start) - 1
    if index < 0 or sp >= segments[index].end:
        return None
    segment = segments[index]
    guard = None
    if index > 0:
        below = segments[index - 1]
        if below.end == segment.start and not below.flags & 7:
            guard = Address(below.start)
    return StackRange(start=Address(segment.start), end=Address(segment.end), guard=guard)


def thread_model(
    walked: ThreadWalk,
    frames: Sequence[Sequence[Frame]],
    core: Core,
    java: JavaThread | None,
    wait: Wait | None,
    fault: Fault | None,
) -> Thread:
    """A thread of the report. `frames`: named frames per activation of the walk.

    When the fault was unwrapped, the frames up to and with the signal frame become handler_frames and the
    registers are those of the fault.
    """
    status, walk, crashed = walked
    signal_frame = fault.frame if crashed and fault is not None else None
    split = 0 if signal_frame is None else signal_frame.position + 1
    flat = tuple(frame for activation in frames[split:] for frame in activation)
    handler = tuple(frame for activation in frames[:split] for frame in activation)
    whole = len(frames) == len(walk.frames)
    registers = fault.registers if signal_frame is not None and fault is not None else status.registers
    return Thread(
        tid=status.tid,
        name=java.name if java is not None else None,
        crashed=crashed,
        registers={name: Address(value) for name, value in registers.items()},
        stack=stack_range(core, registers.get("rsp", 0)),
        frames=flat,
        handler_frames=handler if signal_frame is not None else None,
        cycles=cycles(flat),
        ended=walk.ended if whole else "limit",
        ended_detail=walk.detail if whole else f"stopped after {len(flat)} frames with the inlined ones",
        java=java,
        wait=wait,
    )


class _Place(NamedTuple):
    module: str | None
    bias: int
    locations: tuple[Location, ...]


class FrameNamer:
    """Names frames; each pc is looked up once."""

    def __init__(
        self,
        modules: ModuleMap,
        locate: Callable[[LoadedModule, int], tuple[Location, ...]],
        fallback: Callable[[int], str | None],
    ) -> None:
        """locate: (module, address in memory) → names, innermost first. fallback: names of other code (perf maps)."""
        self._modules = modules
        self._locate = locate
        self._fallback = fallback
        self._places: dict[int, _Place] = {}
        self._named: dict[tuple[Any, ...], list[Frame]] = {}

    def _place(self, lookup: int) -> _Place:
        known = self._places.get(lookup)
        if known is None:
            module = self._modules.at(lookup)
            if module is None:
                known = _Place(None, 0, ())
            else:
                known = _Place(module.path, module.bias, self._locate(module, lookup))
            self._places[lookup] = known
        return known

    def all(self, walk: Walk) -> list[list[Frame]]:
        """The named activations of a walk, as many as have LIMITS.named_frames_per_thread frames in all."""
        named: list[list[Frame]] = []
        total = 0
        for raw in walk.frames:
            frames = self.name(raw)
            total += len(frames)
            if total > LIMITS.named_frames_per_thread:
                break
            named.append(frames)
        return named

    def name(self, raw: RawFrame) -> list[Frame]:
        """The frames of one activation, innermost inlined first."""
        sp = Address(raw.sp)
        # Threads share most of their activations: what is equal but for the stack pointer is described once.
        key = (raw.pc, raw.interrupted, raw.trust, raw.virtual, raw.note)
        known = self._named.get(key)
        if known is None:
            known = self._named[key] = self._describe(raw)
            return known
        frames = []
        for pattern in known:
            frame = copy(pattern)
            msgspec.structs.force_setattr(frame, "sp", sp)
            frames.append(frame)
        return frames

    def _describe(self, raw: RawFrame) -> list[Frame]:
        pc, sp = Address(raw.pc), Address(raw.sp)
        if raw.virtual:
            last = len(raw.virtual) - 1
            return [
                Frame(
                    pc=pc, sp=sp, kind=raw.kind, trust=raw.trust, function=virtual.function, file=virtual.file,
                    line=virtual.line, bci=virtual.bci, compile_level=raw.level, inlined=index < last,
                    note=raw.note if index == last else None,
                )
                for index, virtual in enumerate(raw.virtual)
            ]  # fmt: skip
        if raw.stub is not None:
            return [Frame(pc=pc, sp=sp, kind=raw.kind, trust=raw.trust, function=raw.stub, note=raw.note)]
        place = self._place(raw.pc if raw.interrupted else raw.pc - 1)
        offset = None if place.module is None else Address((raw.pc - place.bias) & 0xFFFFFFFFFFFFFFFF)
        if not place.locations:
            function = None if place.module is not None else self._fallback(raw.pc)
            return [
                Frame(
                    pc=pc, sp=sp, kind=raw.kind, trust=raw.trust, function=function, module=place.module,
                    module_offset=offset, note=raw.note,
                )
            ]  # fmt: skip
        return [
            Frame(
                pc=pc, sp=sp, kind=raw.kind, trust=raw.trust, function=location.function, module=place.module,
                module_offset=offset, file=location.file, line=location.line, inlined=location.inlined, note=raw.note,
            )
            for location in place.locations
        ]  # fmt: skip


def cycles(frames: Sequence[Frame]) -> tuple[Cycle, ...]:
    """Recursion: runs of frames that repeat with a period of at most 40, three times or more.

    The smallest period that explains a run wins; runs do not overlap and come in order.
    """
    if len(frames) < _LEAST_FOLDED:
        return ()
    # Threads of a pool have equal stacks.
    return _cycles(tuple([frame.pc for frame in frames]), tuple([frame.function for frame in frames]))


@functools.lru_cache(maxsize=1024)
def _cycles(pcs: tuple[int, ...], functions: tuple[str | None, ...]) -> tuple[Cycle, ...]:
    numbers: dict[tuple[int, str | None], int] = {}
    keys = [numbers.setdefault(key, len(numbers)) for key in zip(pcs, functions, strict=True)]
    if len(numbers) > len(keys) - _LEAST_FOLDED // 2:
        return ()
    found: list[Cycle] = []
    for period in range(1, min(_LONGEST_PERIOD, len(keys) // 3) + 1):
        start = None
        matches = [left == right for left, right in zip(keys, keys[period:], strict=False)]
        matches.append(False)
        for index, same in enumerate(matches):
            if same:
                start = index if start is None else start
            elif start is not None:
                count = (index - start + period) // period
                if count >= 3 and count * period >= _LEAST_FOLDED:
                    found.append(Cycle(start=start, period=period, count=count))
                start = None
    found.sort(key=lambda cycle: (-cycle.period * cycle.count, cycle.period))
    kept: list[Cycle] = []
    for cycle in found:
        begin, end = cycle.start, cycle.start + cycle.period * cycle.count
        if all(end <= other.start or begin >= other.start + other.period * other.count for other in kept):
            kept.append(cycle)
        if len(kept) >= 16:
            break
    return tuple(sorted(kept, key=lambda cycle: cycle.start))
