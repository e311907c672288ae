"""A frame without a return address: its function had returned before, or something wrote over it.

A function that was resumed by longjmp() after it had returned runs in a frame that its caller's later calls have used
since. The jmp_buf still tells: its stack pointer is that of this frame, and it goes on in this function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model import Address
from postmortem.model.process import BrokenFrame
from postmortem.program.memory import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from postmortem.machines.machine import Machine
    from postmortem.program.program import Program
    from postmortem.unwind.frame import RawFrame


def broken_frame(
    frames: Sequence[RawFrame],
    program: Program,
    symbol: Callable[[int], tuple[str, int, int] | None],
    machine: Machine,
) -> BrokenFrame | None:
    """The last frame that CFI could leave, if that led nowhere. frames: from the fault on."""
    last = 0
    while last + 1 < len(frames) and last < LIMITS.broken_frames and frames[last + 1].trust == "cfi":
        last += 1
    if last >= LIMITS.broken_frames or not frames or frames[last].cfa is None:
        return None
    frame = frames[last]
    slot = machine.return_slot(frame.cfa or 0)
    value = None if slot is None else program.memory.word(slot)
    if slot is None or value is None or program.is_code(value):
        return None
    function = symbol(frame.pc - (not frame.interrupted))
    if function is None:
        return None
    start = frame.pc - (not frame.interrupted) - function[1]
    # The kernel's frame of the signal has stack pointer and pc side by side, too; setjmp() returns to what can't fault.
    last_pc = frame.pc - frame.interrupted
    found = next(_buffers(frame.sp, (start, last_pc), program, machine), None)
    if found is None and value == 0:
        return None  # So ends the first frame of a stack that a program made.
    return BrokenFrame(
        slot=Address(slot),
        value=Address(value),
        function=function[0],
        jump_buffer=None if found is None else Address(found[0]),
        set_at=None if found is None else Address(found[1]),
    )


def _buffers(sp: int, code: tuple[int, int], program: Program, machine: Machine) -> Iterator[tuple[int, int]]:
    """(jmp_buf, where it goes on) of those in writable memory with this stack pointer and a place in this code."""
    space, guard = program.memory, program.pointer_guard
    marks = machine.jump_marks(sp, guard)
    left = LIMITS.jump_buffer_search
    for segment in program.core.segments:
        if segment.permissions != "rw-" or not segment.dumped or left <= 0:
            continue
        data = space.read_some(segment.start, min(segment.dumped, left))
        left -= len(data)
        for mark in marks:
            for at in aligned(data, mark):
                for buffer, target in machine.jump_targets(space, segment.start + at, guard):
                    if code[0] < target <= code[1]:
                        yield buffer, target
