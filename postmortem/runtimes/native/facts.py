"""Facts of the C and C++ runtimes, gathered for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.elf.notes import AT_HWCAP, AT_HWCAP2, AT_RANDOM
from postmortem.model import Address, NativeFacts
from postmortem.runtimes.native import messages, onstack
from postmortem.runtimes.native.arenas import arenas
from postmortem.runtimes.native.exceptions import exceptions
from postmortem.symbols.demangle import demangle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.elf.core import Core
    from postmortem.model import Frame
    from postmortem.program.program import Program
    from postmortem.symbols.symbolication import Symbolication

_TERMINATE = ("terminate", "__cxa_throw", "__cxa_rethrow", "__gxx_personality")
_SIGABRT = 6


def native_facts(program: Program, symbols: Symbolication, frames: Sequence[Frame]) -> NativeFacts:
    """frames: the crashing stack, innermost first.

    The searches of memory are made only for a process that aborted, since they cost.
    """
    core, content, space, symbol = program.core, program.content, program.memory, symbols.system_symbol
    functions = [frame.function or "" for frame in frames]
    aborted = core.signal is not None and core.signal.number == _SIGABRT
    cxx = program.modules.named("libstdc++") is not None or any("std::" in name for name in functions)
    # An exception is worth looking for even when no terminate() is seen, as in a stripped C++ program.
    may_throw = cxx and program.modules.named("libjvm.so") is None
    runtime, message = messages.runtime_message(core, content, functions) if aborted else (None, None)
    if runtime is None and aborted:
        runtime, message = onstack.words(space, symbol, frames)
    text = messages.abort_message(space, symbol("__abort_msg"))
    thrown = aborted and (
        (may_throw and text is None) or any(sign in name for name in functions for sign in _TERMINATE)
    )
    living, attributed = exceptions(core, content, space, demangle, symbols.function_at) if thrown else ((), False)
    canary = space.word(core.auxv.get(AT_RANDOM, 0))
    return NativeFacts(
        abort_message=text,
        assertion=messages.assertion(text),
        runtime=runtime,
        runtime_message=message,
        exceptions=living,
        exceptions_attributed=attributed,
        arenas=arenas(core, space),
        anonymous=sum(
            segment.end - segment.start
            for segment in core.segments
            if segment.flags & 2 and not _file_backed(core, segment.start)
        ),
        stack_canary=None if canary is None else Address(canary & ~0xFF),
        hwcap=_value(core, AT_HWCAP),
        hwcap2=_value(core, AT_HWCAP2),
    )


def _value(core: Core, key: int) -> Address | None:
    value = core.auxv.get(key)
    return None if value is None else Address(value)


def _file_backed(core: Core, address: int) -> bool:
    from bisect import bisect_right

    at = bisect_right(core.files, address, key=lambda row: row.start) - 1
    return at >= 0 and address < core.files[at].end
