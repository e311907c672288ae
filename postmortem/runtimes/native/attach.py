"""The C and C++ runtimes: they are in every process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from postmortem.machines.machine import machine_of
from postmortem.runtimes.native import freed
from postmortem.runtimes.native.arenas import arenas
from postmortem.runtimes.native.facts import native_facts
from postmortem.runtimes.native.heapblocks import NAME, HeapBlocks
from postmortem.runtimes.runtime import Runtime, State

if TYPE_CHECKING:
    from postmortem.model import Problem
    from postmortem.model.report import Arena
    from postmortem.program.program import Program
    from postmortem.runtimes.runtime import Asked
    from postmortem.symbols.symbolication import Symbolication


def attach(program: Program, symbols: Symbolication) -> tuple[Native, list[Problem]]:
    """The runtimes of a process."""
    return Native(program, symbols), []


class Native(Runtime):
    """libc, the C++ runtime, sanitizers, Rust's standard library."""

    name = "native"

    def __init__(self, program: Program, symbols: Symbolication) -> None:
        self.problems: list[Problem] = []
        self._program = program
        self._symbols = symbols
        self._blocks: HeapBlocks | None = None

    @functools.cached_property
    def _heaps(self) -> tuple[Arena, ...]:
        return arenas(self._program.core, self._program.memory)

    @functools.cached_property
    def _mark(self) -> int | None:
        """Of cached blocks."""
        return freed.mark(self._program.core, self._program.memory, self._heaps)

    def freed(self, address: int) -> str | None:
        """Blocks of the heaps of glibc's malloc."""
        core, space = self._program.core, self._program.memory
        heap = next((one for one in core.segments if one.start <= address < one.end), None)
        if heap is None or not heap.dumped or self._program.modules.at(address) is not None:
            return None
        if self._blocks is None:
            self._blocks = HeapBlocks(space, self._heaps, lambda: self._mark)
        return NAME if self._blocks.is_freed((heap.start, heap.end), address) else None

    def _thread_pointer(self, asked: Asked) -> int:
        """Of the crashing thread; 0 where there is none."""
        name = machine_of(self._program.core.machine).thread_pointer
        return asked.walks[0].status.registers.get(name, 0) if asked.walks else 0

    def state(self, asked: Asked) -> State:
        """Last words, exceptions, arenas."""
        pointer = self._thread_pointer(asked)
        facts, missed = native_facts(
            self._program, self._symbols, asked.crashing, pointer, self._heaps, lambda: self._mark
        )
        self.problems.extend(missed)
        return State(native=facts)
