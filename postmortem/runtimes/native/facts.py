"""Facts of the C and C++ runtimes, gathered for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.elf.notes import AT_HWCAP, AT_HWCAP2, AT_RANDOM
from postmortem.model import Address, NativeFacts
from postmortem.runtimes.go import panic as golang
from postmortem.runtimes.native import messages, onstack
from postmortem.runtimes.native.arenas import arenas
from postmortem.runtimes.native.exceptions import exceptions
from postmortem.symbols.demangle import demangle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.elf.core import Core
    from parsers.filebytes import FileBytes
    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace

_TERMINATE = ("terminate", "__cxa_throw", "__cxa_rethrow", "__gxx_personality")
_GO, _GO_VERSION = "runtime.", "runtime.buildVersion"
"""The package that runs on every thread of a Go process, and a variable of it."""


def native_facts(
    core: Core,
    content: FileBytes,
    space: AddressSpace,
    symbol: Callable[[str], int | None],
    frames: Sequence[Frame],
    aborted: bool,
    may_throw: bool,
    function: Callable[[int], str | None],
) -> NativeFacts:
    """frames: the crashing stack, innermost first. symbol: address in memory of a symbol of libc, GLib or
    the executable.
    function: name of the function at an address.

    The searches of memory are made only for a process that aborted, since they cost. may_throw: an exception
    is worth looking for even when no terminate() is seen, as in a stripped C++ program.
    """
    functions = [frame.function or "" for frame in frames]
    runtime, message = messages.runtime_message(core, content, functions) if aborted else (None, None)
    if runtime is None and aborted:
        runtime, message = onstack.words(space, symbol, frames)
    if runtime is None and any(name.startswith(_GO) for name in functions) and symbol(_GO_VERSION) is not None:
        runtime, message = golang.NAME, golang.message(space, symbol, frames)
    text = messages.abort_message(space, symbol("__abort_msg"))
    thrown = aborted and (
        (may_throw and text is None) or any(sign in name for name in functions for sign in _TERMINATE)
    )
    living, attributed = exceptions(core, content, space, demangle, function) if thrown else ((), False)
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
