"""The words with which a HotSpot VM ended itself for an OutOfMemoryError, where its own tables or names can't be read.

-XX:+CrashOnOutOfMemoryError: report_java_out_of_memory (share/utilities/debug.cpp) formats them into VMError's static
buffer, in libjvm's data; before JDK 9 into a FormatBuffer on the stack of the thread.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parsers.elf.core import Core
    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace
    from postmortem.program.modules import LoadedModule

NAME = "HotSpot"
_ENDED = re.compile(rb"OutOfMemory encountered: [\x20-\x24\x26-\x7e]{1,200}(?=\0)")
_INNERMOST = 8


def words(
    core: Core, space: AddressSpace, frames: Sequence[Frame], libjvm: LoadedModule | None
) -> tuple[str, str] | None:
    """(runtime, its text); None where the VM is not what ended the process, or said something else."""
    if libjvm is None or not frames or frames[0].sp is None:
        return None
    modules = [frame.module for frame in frames[:_INNERMOST] if frame.module is not None]
    caller = next((module for module in modules if module != modules[0]), None)
    if caller != libjvm.path:
        return None
    for raw in _places(core, space, frames[0].sp, libjvm):
        found = _ENDED.search(raw)
        if found is not None:
            return NAME, found[0].decode("ascii")
    return None


def _places(core: Core, space: AddressSpace, sp: int, libjvm: LoadedModule) -> Iterator[bytes]:
    yield space.read_some(sp & ~7, LIMITS.jvmtext_stack)
    left = LIMITS.jvmtext_data
    for segment in core.segments:
        start, end = max(segment.start, libjvm.start), min(segment.start + segment.dumped, libjvm.end)
        if segment.flags & 2 and start < end and left > 0:
            yield space.read_some(start, min(end - start, left))
            left -= end - start
