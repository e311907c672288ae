"""What the analysis asks of a runtime: the one seam between the pipeline and HotSpot, Go, the C runtimes.

A runtime is added as a folder with an `attach.py` and a row in RUNTIMES. Several may live in one process. Whatever one
has no answer for it leaves to the defaults of `Runtime`.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from postmortem.model import NativeFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.machines.machine import Machine, Registers
    from postmortem.model import Frame, JavaThread, Jvm, Problem, Value
    from postmortem.model.report import RuntimeState
    from postmortem.model.thread import Trust
    from postmortem.options import Options
    from postmortem.program.program import Program
    from postmortem.stages import Stages
    from postmortem.symbols.symbolication import Symbolication
    from postmortem.unwind.frame import CaughtFault, ForeignStep, ForeignUnwinder, RawFrame, ReportedFault, Switch
    from postmortem.unwind.threads import ThreadWalk

Use = tuple[int, int, str]
"""[start, end) of the address space and what it is used for."""


Variables = tuple[tuple[tuple["Value", ...], tuple["Value", ...]], ...]
"""Arguments and locals of each function of an activation, innermost first."""


class State(NamedTuple):
    """What a runtime tells of itself: members of the report, and what its memory is used for."""

    summary: RuntimeState | None = None
    jvm: Jvm | None = None
    native: NativeFacts | None = None
    last_words: tuple[str, str | None] | None = None
    """What it printed as it gave up: its name, the text."""
    uses: tuple[Use, ...] = ()


class Asked(NamedTuple):
    """What a runtime may use when it is asked for its state: the walk is over by then.

    crashing: frames of the crashing thread, innermost first, the handler's before. name: frames of a raw activation.
    walks: of all threads, the crashing one first.
    """

    options: Options
    crashing: Sequence[Frame]
    name: Callable[[RawFrame], list[Frame]]
    walks: Sequence[ThreadWalk] = ()


class Runtime(Protocol):
    """A runtime that was found in the process.

    name: of its folder and stage. problems: what could not be read, added to as it comes up.
    """

    name: str
    problems: list[Problem]

    @property
    def generated(self) -> ForeignUnwinder | None:
        """Unwinder of the code that the runtime generated; None: there is none."""
        return None

    @property
    def reported(self) -> ReportedFault | None:
        """What the runtime's own crash reporter was at work on; None: not known."""
        return None

    def reporting(self, walks: Sequence[ThreadWalk]) -> ReportedFault | None:
        """As `reported`, for a runtime that shows it on the stacks of its threads only."""
        return self.reported

    def caught(self, walks: Sequence[ThreadWalk]) -> CaughtFault | None:
        """A fault of the first thread that the runtime turned into a call of its own; None: there is none."""
        return None

    def switch(self, thread_pointer: int) -> Switch | None:
        """How a thread's stack goes on where the runtime has left another one for it; None: it does not do so."""
        return None

    @property
    def injected(self) -> Sequence[tuple[int, int]]:
        """Where the functions lie that a signal's handler has called in place of the instruction that faulted."""
        return ()

    def thread(self, tid: int) -> JavaThread | None:
        """What the runtime knows of a thread of the core."""
        return None

    def variables(self, raw: RawFrame) -> Variables | None:
        """Of an activation of generated code; None: not known."""
        return None

    def freed(self, address: int) -> str | None:
        """The allocator that has what lies at an address among its free memory; None: it is in use, or not its own."""
        return None

    def state(self, asked: Asked) -> State:
        """What the runtime tells of itself."""
        ...


RUNTIMES = ("hotspot", "go", "cpython", "native")
"""Folders beside this file, in the order in which they are asked; each has attach.attach(program, symbols), and
may name the LIBRARY without which the runtime is not there."""


def attached(
    program: Program,
    symbols: Symbolication,
    stages: Stages,
    table: Sequence[str] = RUNTIMES,
    home: str = "postmortem.runtimes",
) -> list[Runtime]:
    """The runtimes of a process; why one that is there can't be read is added to the problems of the run.

    Each is a stage by its name. table, home: the folders and the package that has them.
    """
    found: list[Runtime] = []
    for name in table:
        nothing: tuple[Runtime | None, list[Problem]] = (None, [])
        runtime, lost = stages.run(name, functools.partial(_attach, f"{home}.{name}", program, symbols), nothing)
        stages.problems.extend(lost)
        if runtime is not None:
            found.append(runtime)
    return found


def _attach(package: str, program: Program, symbols: Symbolication) -> tuple[Runtime | None, list[Problem]]:
    """The runtime of a folder. Where its library is not mapped its code is not even imported."""
    library = getattr(import_module(package), "LIBRARY", None)
    if library is not None and program.modules.named(library) is None:
        return None, []
    found: tuple[Runtime | None, list[Problem]] = import_module(f"{package}.attach").attach(program, symbols)
    return found


def states_of(runtimes: Sequence[Runtime], asked: Asked, stages: Stages) -> list[State]:
    """What each runtime tells of itself; what it could not read is added to the problems of the run."""
    states = []
    for runtime in runtimes:
        states.append(stages.run(runtime.name, functools.partial(runtime.state, asked), State()))
        stages.problems.extend(runtime.problems)
    return states


class _Unwinders:
    """The unwinders of several runtimes as one: a pc belongs to at most one of them."""

    def __init__(self, unwinders: Sequence[ForeignUnwinder], machine: Machine) -> None:
        self._unwinders = unwinders
        self._machine = machine
        self.trust: Trust = unwinders[0].trust

    def covers(self, pc: int) -> bool:
        """Whether the pc lies in generated code of any runtime."""
        return any(unwinder.covers(pc) for unwinder in self._unwinders)

    def step(self, registers: Registers, interrupted: bool) -> ForeignStep:
        """One activation, by the runtime whose code it is."""
        pc = registers[self._machine.pc] or 0
        return next(unwinder for unwinder in self._unwinders if unwinder.covers(pc)).step(registers, interrupted)

    def resume(self, sp: int) -> Registers | None:
        """The nearest anchor that any of them knows."""
        found = [registers for unwinder in self._unwinders if (registers := unwinder.resume(sp)) is not None]
        return min(found, key=lambda registers: registers[self._machine.sp] or 0, default=None)


def unwinder_of(runtimes: Sequence[Runtime], machine: Machine) -> ForeignUnwinder | None:
    """The unwinder of all code that runtimes generated; None: they generated none."""
    unwinders = [runtime.generated for runtime in runtimes if runtime.generated is not None]
    return _Unwinders(unwinders, machine) if len(unwinders) > 1 else next(iter(unwinders), None)


def injected_by(runtimes: Sequence[Runtime]) -> Sequence[tuple[int, int]]:
    """Where the functions lie that handlers of signals have called in place of the instruction that faulted."""
    return [bounds for runtime in runtimes for bounds in runtime.injected]


def reported_by(runtimes: Sequence[Runtime], walks: Sequence[ThreadWalk]) -> ReportedFault | None:
    """The fault that the first runtime with a crash reporter says it was reporting."""
    return next((found for runtime in runtimes if (found := runtime.reporting(walks)) is not None), None)


def caught_by(runtimes: Sequence[Runtime], walks: Sequence[ThreadWalk]) -> CaughtFault | None:
    """The fault that a runtime turned into a call of its own."""
    return next((found for runtime in runtimes if (found := runtime.caught(walks)) is not None), None)


def switch_of(runtimes: Sequence[Runtime], thread_pointer: int) -> Switch | None:
    """How the stack of a thread goes on where a runtime has left another one."""
    return next((found for runtime in runtimes if (found := runtime.switch(thread_pointer)) is not None), None)


def variables_of(runtimes: Sequence[Runtime], raw: RawFrame) -> Variables | None:
    """Arguments and locals of an activation, by the first runtime that knows them."""
    return next((found for runtime in runtimes if (found := runtime.variables(raw)) is not None), None)


def thread_of(runtimes: Sequence[Runtime], tid: int) -> JavaThread | None:
    """What the first runtime that knows a thread knows of it."""
    return next((thread for runtime in runtimes if (thread := runtime.thread(tid)) is not None), None)


def freed_by(runtimes: Sequence[Runtime], address: int) -> str | None:
    """The allocator to which what lies at an address is free memory."""
    return next((found for runtime in runtimes if (found := runtime.freed(address)) is not None), None)


def together(states: Sequence[State]) -> dict[str, Any]:
    """The members of a report that the runtimes' states fill: native, jvm, runtimes."""
    native = next((state.native for state in states if state.native is not None), NativeFacts())
    said = next((state.last_words for state in states if state.last_words is not None), None)
    if said is not None and native.runtime is None:
        native = msgspec.structs.replace(native, runtime=said[0], runtime_message=said[1])
    return {
        "native": native,
        "jvm": next((state.jvm for state in states if state.jvm is not None), None),
        "runtimes": tuple(state.summary for state in states if state.summary is not None),
    }
