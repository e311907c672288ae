"""Go's runtime in a process: seen by its functions on the crashing stack, and what it said last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.report import RuntimeState
from postmortem.runtimes.go import panic
from postmortem.runtimes.go.goroutines import goroutines
from postmortem.runtimes.go.stacks import stacks
from postmortem.runtimes.runtime import Runtime, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Problem
    from postmortem.program.program import Program
    from postmortem.runtimes.runtime import Asked
    from postmortem.symbols.symbolication import Symbolication
    from postmortem.unwind.frame import CaughtFault, ReportedFault, Switch
    from postmortem.unwind.threads import ThreadWalk

_PACKAGE = "runtime."
"""The package that runs on every thread of a Go process."""


def attach(program: Program, symbols: Symbolication) -> tuple[Go, list[Problem]]:
    """Whether the process is one of Go's shows when its stacks have names."""
    return Go(program, symbols), []


class Go(Runtime):
    """Go's runtime, if it is there."""

    name = "go"

    def __init__(self, program: Program, symbols: Symbolication) -> None:
        self.problems: list[Problem] = []
        self._program, self._symbols = program, symbols
        self._memory = program.memory
        self._symbol = symbols.system_symbol
        self._stacks = stacks(program, symbols)

    def reporting(self, walks: Sequence[ThreadWalk]) -> ReportedFault | None:
        """The signal with which it began, where the handlers of others were called for that."""
        return None if self._stacks is None else self._stacks.reported(walks)

    def caught(self, walks: Sequence[ThreadWalk]) -> CaughtFault | None:
        """A fault in C code, which Go's handler turned into a call of sigpanic."""
        return None if self._stacks is None or not walks else self._stacks.caught(walks[0])

    def switch(self, thread_pointer: int) -> Switch | None:
        """From a thread's own stack to its goroutine's."""
        return None if self._stacks is None else self._stacks.switch(thread_pointer)

    @property
    def injected(self) -> Sequence[tuple[int, int]]:
        """sigpanic: Go's handler puts a call of it where the fault was."""
        return () if self._stacks is None else self._stacks.injected

    def state(self, asked: Asked) -> State:
        """The value of the panic, or the text of the fatal error."""
        if not any((frame.function or "").startswith(_PACKAGE) for frame in asked.crashing):
            return State()
        if self._stacks is None:
            return State()
        said = panic.message(self._memory, self._symbol, asked.crashing)
        owner = self._stacks.owner
        found = () if owner is None else goroutines(self._program, self._symbols, owner)
        return State(RuntimeState(name=panic.NAME, goroutines=found), last_words=(panic.NAME, said))
