"""Threads: walked, their frames named, recursion folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.machines.x86_64 import registers
from postmortem.unwind.frame import RawFrame, Walk

if TYPE_CHECKING:
    from parsers.elf.core import Core
    from parsers.elf.x86_64.prstatus import ThreadStatus
    from postmortem.unwind.walker import Walker


class ThreadWalk(NamedTuple):
    """A thread as the core has it, with its walk."""

    status: ThreadStatus
    walk: Walk
    crashed: bool


def walk_threads(walker: Walker, core: Core) -> list[ThreadWalk]:
    """Every thread walked, the one that took the signal first."""
    return [
        ThreadWalk(status, walker.walk(registers.from_prstatus(status.registers)), index == 0)
        for index, status in enumerate(core.threads)
    ]


def unwalked_threads(core: Core) -> list[ThreadWalk]:
    """Every thread with its first frame alone, as its registers have it: for when unwinding is what failed."""
    walks = []
    for index, status in enumerate(core.threads):
        found = registers.from_prstatus(status.registers)
        pc, sp = found[registers.PC], found[registers.RSP]
        frames = [] if pc is None or sp is None else [RawFrame(pc, sp, None, "native", "context", True)]
        walks.append(ThreadWalk(status, Walk(frames, "limit", "unwinding was left out", []), index == 0))
    return walks
