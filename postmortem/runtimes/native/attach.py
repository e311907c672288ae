"""The C and C++ runtimes: they are in every process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.runtimes.native.facts import native_facts
from postmortem.runtimes.runtime import Runtime, State

if TYPE_CHECKING:
    from postmortem.model import Problem
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

    def state(self, asked: Asked) -> State:
        """Last words, exceptions, arenas."""
        facts, missed = native_facts(self._program, self._symbols, asked.crashing)
        self.problems.extend(missed)
        return State(native=facts)
