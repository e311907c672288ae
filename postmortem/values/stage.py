"""The stage of the pipeline: which threads' frames get values, and the fault in the program's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from parsers.elf.notes import AT_PHDR
from parsers.limits import LIMITS
from postmortem.symbols.cache import Cache
from postmortem.values.frames import FrameValues
from postmortem.values.source import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.fault.fault import Fault
    from postmortem.machines.machine import Machine
    from postmortem.model import Crash, Frame, Problem, Value
    from postmortem.options import Options
    from postmortem.program.program import Program
    from postmortem.symbols.symbolication import Symbolication
    from postmortem.unwind.frame import RawFrame
    from postmortem.unwind.threads import ThreadWalk

_SECONDS, _SECONDS_FOR_ALL = 1.0, 10.0
_MEMORY_FAULTS = (7, 11)


class Values:
    """Of one process: of no thread, of the crashing one, or of all, as `options.values` says."""

    def __init__(self, program: Program, symbols: Symbolication, options: Options, machine: Machine) -> None:
        self._thread_pointer = machine.thread_pointer
        self._which = which = options.values
        # Source is shown where it is asked for, or where nothing is to be hidden.
        wanted = options.source_maps or not options.redact
        self._sources = Sources(options.source_maps, as_named=not options.redact) if wanted else None
        self._values = FrameValues(
            program.modules,
            symbols.dwarf,
            symbols.supplement,
            symbols.split,
            program.memory,
            symbols.symbol_at,
            symbols.address_of,
            Cache(options.cache_dir),
            machine,
            _SECONDS_FOR_ALL if which == "all" else _SECONDS,
            program.core.auxv.get(AT_PHDR, 0),
        )

    def fill(
        self,
        walks: Sequence[ThreadWalk],
        named: Sequence[list[list[Frame]]],
        fault: Fault | None,
        generated: Callable[[RawFrame], Sequence[tuple[tuple[Value, ...], tuple[Value, ...]]] | None],
    ) -> list[list[list[Frame]]]:
        """The named frames with arguments and locals; those of the crashing thread from the fault on.

        generated: variables of an activation in code that a runtime generated, by the runtime.
        """
        made = list(named)
        for index, walked in enumerate(walks):
            if self._which == "none" or (index and self._which != "all"):
                break
            filled = self._values.fill(
                walked.walk, named[index], _first(walked, fault), self._thread(walked), generated
            )
            made[index] = filled if self._sources is None else self._with_source(filled, _first(walked, fault))
        self._values.save()
        return made

    def _with_source(self, activations: list[list[Frame]], first: int) -> list[list[Frame]]:
        assert self._sources is not None
        last = first + LIMITS.frames_with_values
        return [
            *activations[:first],
            *(self._sources.with_lines(frames) for frames in activations[first:last]),
            *activations[last:],
        ]

    def explained(self, crash: Crash, walks: Sequence[ThreadWalk], fault: Fault | None) -> Crash:
        """The fault with its operands in the program's own words."""
        if self._which == "none" or not walks or not walks[0].crashed:
            return crash
        first, thread = _first(walks[0], fault), self._thread(walks[0])
        explained = self._values.explained(crash, walks[0].walk, first, thread)
        signal = crash.signal
        if signal is None or signal.number not in _MEMORY_FAULTS or (signal.code or 0) <= 0:
            return explained
        layouts = self._values.mismatch(walks[0].walk, first, thread)
        self._values.save()
        return explained if layouts is None else msgspec.structs.replace(explained, layouts=layouts)

    def _thread(self, walked: ThreadWalk) -> int:
        """Its thread pointer."""
        return walked.status.registers.get(self._thread_pointer, 0)

    @property
    def problems(self) -> list[Problem]:
        """What could not be had."""
        return self._values.problems


def _first(walked: ThreadWalk, fault: Fault | None) -> int:
    frame = fault.frame if walked.crashed and fault is not None else None
    return 0 if frame is None else frame.position + 1
