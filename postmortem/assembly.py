"""The report of a core put together from what the stages made, before rules have read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem import __version__
from postmortem.model import Report, Tool
from postmortem.runtimes.mappings import listed, memory
from postmortem.runtimes.runtime import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Crash, Mapping, Process, Thread
    from postmortem.program.program import Program
    from postmortem.runtimes.runtime import State
    from postmortem.targets.target import Target


def assembled(
    program: Program,
    target: Target,
    process: Process,
    crash: Crash,
    threads: tuple[Thread, ...],
    mappings: tuple[Mapping, ...],
    states: Sequence[State],
) -> Report:
    """mappings: all of them; the report lists as many as the budget of the run allows. states: of the runtimes."""
    return Report(
        tool=Tool(name="postmortem", version=__version__),
        core=target.described(program.core),
        process=process,
        crash=crash,
        threads=threads,
        modules=tuple(module.to_model() for module in program.modules.modules),
        mappings=listed(mappings, program.budget),
        memory=memory(mappings, len(program.core.segments)),
        **together(states),
    )
