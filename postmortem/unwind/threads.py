"""Threads: walked, their frames named, recursion folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from postmortem.unwind.frame import RawFrame, Walk
from postmortem.unwind.recursion import without_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from parsers.elf.core import Core
    from parsers.elf.x86_64.prstatus import ThreadStatus
    from postmortem.budget import Budget
    from postmortem.unwind.frame import Switch
    from postmortem.unwind.walker import Walker


class ThreadWalk(NamedTuple):
    """A thread as the core has it, with its walk."""

    status: ThreadStatus
    walk: Walk
    crashed: bool


def walk_threads(
    walker: Walker,
    core: Core,
    budget: Budget,
    switch: Callable[[int], Switch | None] | None = None,
    kept: Literal["all", "ends"] = "all",
) -> list[ThreadWalk]:
    """Every thread walked, the one that took the signal first.

    All together have the frames that the budget allows; when these are spent, each has its innermost few. switch: by
    thread_pointer, what Walker.walk is given. kept: as Options.frames.
    """
    walks = []
    for index, status in enumerate(core.threads):
        allowed = max(budget.left("frames"), budget.limits.frames_at_least)
        left = None if switch is None else switch(walker.thread_pointer(status.registers))
        walk = walker.walk(walker.registers(status.registers), allowed, left)
        if len(walk.frames) > budget.left("frames") or (walk.ended == "limit" and allowed < walker.max_frames):
            budget.miss("frames")
        else:
            budget.take("frames", len(walk.frames))
        walks.append(ThreadWalk(status, walk if kept == "all" else without_turns(walk), index == 0))
    return walks


def unwalked_threads(walker: Walker, core: Core) -> list[ThreadWalk]:
    """Every thread with its first frame alone, as its registers have it: for when unwinding is what failed."""
    walks = []
    for index, status in enumerate(core.threads):
        pc, sp = walker.place(status.registers)
        frames = [] if pc is None or sp is None else [RawFrame(pc, sp, None, "native", "context", True)]
        walks.append(ThreadWalk(status, Walk(frames, "limit", "unwinding was left out", []), index == 0))
    return walks
