"""Threads: walked, their frames named, recursion folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.machines.x86_64 import registers

if TYPE_CHECKING:
    from parsers.elf.core import Core
    from parsers.elf.x86_64.prstatus import ThreadStatus
    from postmortem.unwind.frame import Walk
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
