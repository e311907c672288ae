"""Frames with names: functions, lines, inlined functions."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from parsers.limits import LIMITS
from postmortem.model import Address, Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.budget import Budget
    from postmortem.program.modules import LoadedModule, ModuleMap
    from postmortem.program.program import Program
    from postmortem.symbols.symbolication import Symbolication
    from postmortem.symbols.symbolizer import Location
    from postmortem.unwind.frame import RawFrame, Walk


class _Place(NamedTuple):
    module: str | None
    bias: int
    locations: tuple[Location, ...]
    linked: str | None = None


class FrameNamer:
    """Names frames; each pc is looked up once."""

    def __init__(
        self,
        modules: ModuleMap,
        locate: Callable[[LoadedModule, int], tuple[Location, ...]],
        fallback: Callable[[int], str | None],
        budget: Budget,
        linked: Callable[[LoadedModule, int], str | None] = lambda module, address: None,
    ) -> None:
        """locate: (module, address in memory) → names, innermost first. fallback: names of other code (perf maps).

        linked: the library that code of an executable was linked in from.
        """
        self._linked = linked
        self._modules = modules
        self._locate = locate
        self._fallback = fallback
        self._budget = budget
        self._places: dict[int, _Place] = {}
        self._named: dict[tuple[Any, ...], tuple[list[Frame], int]] = {}

    def _place(self, lookup: int) -> _Place:
        known = self._places.get(lookup)
        if known is None:
            module = self._modules.at(lookup)
            if module is None:
                known = _Place(None, 0, ())
            else:
                locations = self._locate(module, lookup)
                known = _Place(module.path, module.bias, locations, self._linked(module, lookup) if locations else None)
            self._places[lookup] = known
        return known

    def all(self, walk: Walk) -> list[list[Frame]]:
        """The named activations of a walk, as many as the limits and the budget of the run allow.

        A few are always given: a thread without any frame tells nothing.
        """
        named: list[list[Frame]] = []
        total = inlined = text = 0
        left, left_text = self._budget.left("named_frames"), self._budget.left("frame_text")
        for raw in walk.frames:
            frames, cost = self._named_once(raw)
            total += len(frames)
            inlined += len(frames) - 1
            text += cost
            if total > LIMITS.named_frames_per_thread:
                break
            if (inlined > left or text > left_text) and len(named) >= LIMITS.frames_at_least:
                self._budget.miss("named_frames" if inlined > left else "frame_text")
                break
            named.append(frames)
        self._budget.take("named_frames", min(inlined, left))
        self._budget.take("frame_text", min(text, left_text))
        return named

    def name(self, raw: RawFrame) -> list[Frame]:
        """The frames of one activation, innermost inlined first."""
        return self._named_once(raw)[0]

    def _named_once(self, raw: RawFrame) -> tuple[list[Frame], int]:
        """The frames of an activation, and the characters of their names."""
        # Threads share most of their activations: what is equal but for the stack pointer is described once.
        key = (raw.pc, raw.interrupted, raw.trust, raw.virtual, raw.note)
        known = self._named.get(key)
        if known is None:
            frames = self._describe(raw)
            texts = (text for frame in frames for text in (frame.function, frame.file, frame.module, frame.note))
            known = self._named[key] = frames, sum(len(text) for text in texts if text)
            return known
        sp = Address(raw.sp)
        frames = []
        for pattern in known[0]:
            frame = copy(pattern)
            msgspec.structs.force_setattr(frame, "sp", sp)
            frames.append(frame)
        return frames, known[1]

    def _describe(self, raw: RawFrame) -> list[Frame]:
        pc, sp = Address(raw.pc), Address(raw.sp)
        if raw.virtual:
            last = len(raw.virtual) - 1
            return [
                Frame(
                    pc=pc, sp=sp, kind=raw.kind, trust=raw.trust, function=virtual.function, file=virtual.file,
                    line=virtual.line, bci=virtual.bci, compile_level=raw.level, inlined=index < last,
                    note=raw.note if index == last else None,
                    native_library=None if virtual.native is None else self._place(virtual.native).module,
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
                linked_library=place.linked if location.file is None else None,
            )
            for location in place.locations
        ]  # fmt: skip


def namer_of(
    program: Program, symbols: Symbolication, generated: Callable[[int], str | None], *, bare: bool
) -> FrameNamer:
    """The namer of a process. generated: names of code made at run time. bare: it names nothing."""
    if bare:
        return FrameNamer(program.modules, lambda module, address: (), lambda pc: None, program.budget)
    return FrameNamer(program.modules, symbols.locate, generated, program.budget, symbols.linked_library)
