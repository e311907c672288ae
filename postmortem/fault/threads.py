"""Threads of the report, the crashing one first."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import msgspec

from postmortem.model import Address, Cycle, Frame, Thread
from postmortem.model.queries.recursion import cycles
from postmortem.model.thread import StackRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.elf.core import Core
    from postmortem.fault.fault import Fault
    from postmortem.model import JavaThread, Wait
    from postmortem.unwind.frame import LeftOut
    from postmortem.unwind.threads import ThreadWalk


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


def thread_models(
    walks: Sequence[ThreadWalk],
    named: Sequence[Sequence[Sequence[Frame]]],
    core: Core,
    java: Callable[[int], JavaThread | None],
    waits: Sequence[Wait | None],
    fault: Fault | None,
    sp_name: str,
) -> tuple[Thread, ...]:
    """The threads of the report in the order of their walks. named: their frames by activation. java: what a runtime
    knows of a tid. waits: what each is blocked in. sp_name: the register that points at its stack."""
    return tuple(
        thread_model(walked, frames, core, java(walked.status.tid), wait, fault, sp_name)
        for walked, frames, wait in zip(walks, named, waits, strict=True)
    )


def thread_model(
    walked: ThreadWalk,
    frames: Sequence[Sequence[Frame]],
    core: Core,
    java: JavaThread | None,
    wait: Wait | None,
    fault: Fault | None,
    sp_name: str,
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
        stack=stack_range(core, registers.get(sp_name, 0)),
        frames=flat,
        handler_frames=handler if signal_frame is not None else None,
        cycles=_with_left_out(cycles(flat), frames, split, walk.left_out),
        ended=walk.ended if whole else "limit",
        ended_detail=walk.detail if whole else f"stopped after {len(flat)} frames with the inlined ones",
        java=java,
        wait=wait,
    )


def _with_left_out(
    found: tuple[Cycle, ...], frames: Sequence[Sequence[Frame]], split: int, left_out: LeftOut | None
) -> tuple[Cycle, ...]:
    """The cycles of frames[split:] with the turns that the walk left out counted in."""
    if left_out is None or not split <= left_out.position < len(frames):
        return found
    position = sum(len(activation) for activation in frames[split : left_out.position])
    turn = sum(len(activation) for activation in frames[left_out.position : left_out.position + left_out.period])
    made: list[Cycle] = []
    for cycle in found:
        if left_out is not None and cycle.start < position <= cycle.start + cycle.period * cycle.count:
            turns = left_out.turns * turn // cycle.period
            cycle = msgspec.structs.replace(cycle, count=cycle.count + turns, left_out=turns)
            left_out = None
        made.append(cycle)
    if left_out is not None:  # a turn with its inlined functions is longer than those that are looked for
        whole = Cycle(start=position - turn, period=turn, count=left_out.turns + 1, left_out=left_out.turns)
        made = sorted([*made, whole], key=lambda cycle: cycle.start)
    return tuple(made)
