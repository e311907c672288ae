"""Frames with names: functions, lines, inlined functions."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from parsers.limits import LIMITS
from postmortem.model import Address, Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.program.modules import LoadedModule, ModuleMap
    from postmortem.symbols.symbolizer import Location
    from postmortem.unwind.frame import RawFrame, Walk


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
            )
            for location in place.locations
        ]  # fmt: skip
