"""What a walk is made of: registers in, raw frames out. Nothing here knows of files or symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from parsers.elf import notes
    from postmortem.machines.machine import Registers
    from postmortem.model.thread import Ended, Kind, Trust

    Switch = Callable[[int], Registers | None]
    """Registers on the stack that a function with that pc left for its thread's own; None where it has left none."""


class VirtualFrame(NamedTuple):
    """One Java function of an activation; innermost inlined first. `line` counts from 1. native: the address of the
    code that implements a native method."""

    function: str
    file: str | None = None
    line: int | None = None
    bci: int | None = None
    native: int | None = None


class RawFrame(NamedTuple):
    """One activation.

    pc: as found; `interrupted`: the pc is of an instruction not yet done (first frame, below a signal
    frame), so look-ups use pc itself, otherwise pc - 1. sp: stack pointer in this frame. fp: rbp.
    virtual: the Java functions of the activation, when a runtime's own unwinder named them;
    stub: the name of a code blob without functions. level: HotSpot compile level.
    registers: as the unwinder restored them for this frame, of the first frames of a walk. The caller-saved ones are
    the callee's where the frame was not interrupted. cfa: the canonical frame address by CFI, of these frames.
    """

    pc: int
    sp: int
    fp: int | None
    kind: Kind
    trust: Trust
    interrupted: bool
    virtual: tuple[VirtualFrame, ...] = ()
    stub: str | None = None
    level: int | None = None
    note: str | None = None
    registers: Registers | None = None
    cfa: int | None = None


class ForeignStep(NamedTuple):
    """A runtime's own account of one activation in its generated code.

    caller: registers of the caller, or None when the walk can't go on (`why` says so). inserted: activations
    between this one and its caller that don't lie on this stack. The other members are those of RawFrame.
    """

    caller: Registers | None
    kind: Kind
    virtual: tuple[VirtualFrame, ...] = ()
    stub: str | None = None
    level: int | None = None
    note: str | None = None
    why: str | None = None
    inserted: tuple[RawFrame, ...] = ()


class ForeignUnwinder(Protocol):
    """Unwinds code that a runtime generated. trust: of the callers that it finds."""

    trust: Trust

    def covers(self, pc: int) -> bool:
        """Whether the pc lies in the runtime's generated code. Cheap: asked for every frame."""
        ...

    def step(self, registers: Registers, interrupted: bool) -> ForeignStep:
        """One activation; never raises for damaged memory."""
        ...

    def resume(self, sp: int) -> Registers | None:
        """Registers of the nearest frame anchor above `sp` on the stack that holds `sp`: where the walk can
        go on when native unwinding broke; None when there is none."""
        ...


class LeftOut(NamedTuple):
    """`turns` of a recursion, of `period` activations each, that stood before frames[position]."""

    position: int
    period: int
    turns: int


class Walk(NamedTuple):
    """All activations of a thread but those left out, innermost first, and why the walk ended."""

    frames: list[RawFrame]
    ended: Ended
    detail: str | None
    signal_frames: list[SignalFrame]
    left_out: LeftOut | None = None


class ReportedFault(NamedTuple):
    """What a runtime's own crash reporter was at work on: the thread, 0 for none, and the ucontext_t that its
    handler was given, 0 for an error that the runtime found itself."""

    tid: int
    context: int


class CaughtFault(NamedTuple):
    """A fault that a runtime's handler turned into a call of its own, in frame `position` of the first thread's walk:
    the frames behind it are the fault's."""

    position: int
    info: notes.SignalInfo
    null_call: bool = False
    """Execution was at address 0: the frame behind it called that."""


class SignalFrame(NamedTuple):
    """A kernel signal frame met on the way.

    position: index in Walk.frames of its trampoline frame; the interrupted frame follows it.
    context, info: addresses of ucontext_t and siginfo_t. registers: at the interrupted instruction.
    """

    position: int
    context: int
    info: int
    registers: Registers
