"""Facts of the C and C++ runtimes, gathered for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.elf.notes import AT_HWCAP, AT_HWCAP2, AT_RANDOM
from postmortem.model import Address, NativeFacts, Problem
from postmortem.runtimes.go import panic as golang
from postmortem.runtimes.native import messages, onstack, reporters, rust
from postmortem.runtimes.native.arenas import arenas
from postmortem.runtimes.native.exceptions import exceptions
from postmortem.runtimes.native.places import BUDGET, Places
from postmortem.symbols.demangle import demangle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.elf.core import Core
    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace

_TERMINATE = ("terminate", "__cxa_throw", "__cxa_rethrow", "__gxx_personality")
_GO, _GO_VERSION = "runtime.", "runtime.buildVersion"
"""The package that runs on every thread of a Go process, and a variable of it."""


class Symbols(NamedTuple):
    """Names and addresses of the process, as native_facts asks for them.

    address: in memory, of a symbol of libc, GLib or the executable. function: name at an address. start: of the
    function at an address. libc: ranges of the module that has libc in it.
    """

    address: Callable[[str], int | None]
    function: Callable[[int], str | None]
    start: Callable[[int], int | None]
    libc: Sequence[tuple[int, int]]


def native_facts(
    core: Core,
    space: AddressSpace,
    symbols: Symbols,
    frames: Sequence[Frame],
    aborted: bool,
    stopped: bool,
    may_throw: bool,
) -> tuple[NativeFacts, tuple[Problem, ...]]:
    """The facts, and what could not be searched. frames: the crashing stack, innermost first.

    The searches of memory are made only for a process that aborted, since they cost. stopped: it may have ended itself
    by an instruction that traps. may_throw: an exception
    is worth looking for even when no terminate() is seen, as in a stripped C++ program.
    """
    functions = [frame.function or "" for frame in frames]
    places = Places(core, space, next((frame.sp for frame in frames if frame.sp is not None), None))
    problems: list[Problem] = []
    variable = symbols.address("__abort_msg")
    text = messages.abort_message(space, variable)
    if variable is None and aborted:
        text = messages.abort_message_by_form(core, space, symbols.libc)
    runtime: str | None = None
    message: str | None = None
    if stopped and not aborted:
        runtime, message = reporters.words(space, frames, symbols.start, places) or (None, None)
    if aborted:
        runtime, message = _said(core, space, symbols, frames, places, asserted=text is None)
        if runtime is not None and message is None and places.exhausted:
            problems.append(_cut_short(f"the text of {runtime}"))
    if runtime is None and any(name.startswith(_GO) for name in functions) and symbols.address(_GO_VERSION) is not None:
        runtime, message = golang.NAME, golang.message(space, symbols.address, frames)
    thrown = aborted and (
        (may_throw and text is None) or any(sign in name for name in functions for sign in _TERMINATE)
    )
    living, attributed = exceptions(core, space, places, demangle, symbols.function) if thrown else ((), False)
    terminated = any(sign in name for name in functions for sign in _TERMINATE)
    if thrown and terminated and not living and places.exhausted:
        problems.append(_cut_short("an exception object"))
    canary = space.word(core.auxv.get(AT_RANDOM, 0))
    found = NativeFacts(
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
    return found, tuple(problems)


def _said(
    core: Core, space: AddressSpace, symbols: Symbols, frames: Sequence[Frame], places: Places, asserted: bool
) -> tuple[str | None, str | None]:
    """(runtime, its text) of a process that aborted: from its code, its variables, its stack, then its memory.

    asserted: libc has left no text of an assertion.
    """
    told = reporters.words(space, frames, symbols.start, places)
    if told is not None and (asserted or told[0] != "assert"):
        return told
    runtime, message = onstack.words(space, symbols.address, frames)
    if runtime is not None:
        return runtime, message
    runtime, message = messages.runtime_message(places, [frame.function or frame.module or "" for frame in frames])
    if runtime == rust.NAME:
        first = rust.unwound(core, space, places, frames)
        message = message or rust.message(core, space, frames, symbols.start)
        if first is not None and first not in (message or ""):
            message = f"{first}\nthen, while that panic was unwound: {message}" if message else first
    return runtime, message


def _cut_short(wanted: str) -> Problem:
    return Problem(
        stage="native",
        where="writable memory",
        what=f"{wanted} was looked for on the crashing stack, in what it points at and in {BUDGET >> 20} MiB of other"
        " memory, and not found; the rest was not searched",
    )


def _value(core: Core, key: int) -> Address | None:
    value = core.auxv.get(key)
    return None if value is None else Address(value)


def _file_backed(core: Core, address: int) -> bool:
    from bisect import bisect_right

    at = bisect_right(core.files, address, key=lambda row: row.start) - 1
    return at >= 0 and address < core.files[at].end
