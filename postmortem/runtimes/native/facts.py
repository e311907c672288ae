"""Facts of the C and C++ runtimes, gathered for the report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.elf.notes import AT_HWCAP, AT_HWCAP2, AT_RANDOM
from postmortem.machines.machine import machine_of
from postmortem.model import Address, NativeFacts, Problem
from postmortem.runtimes.native import jvmtext, messages, onstack, reporters, rust
from postmortem.runtimes.native.exceptions import exceptions
from postmortem.runtimes.native.fatalcalls import fatal_calls
from postmortem.runtimes.native.places import BUDGET, Places
from postmortem.runtimes.native.printed import printed
from postmortem.symbols.demangle import demangle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.elf.core import Core
    from postmortem.model import Frame
    from postmortem.model.report import Arena
    from postmortem.program.program import Program
    from postmortem.symbols.symbolication import Symbolication

_TERMINATE = ("terminate", "__cxa_throw", "__cxa_rethrow", "__gxx_personality")
_SIGILL, _SIGTRAP, _SIGABRT = 4, 5, 6
_FAULTS = (7, 11)
_LAST_ERRNO = 4096
_REPORTER = 5
"""Innermost frames: raise() and abort(), and the VM's reporter that called them."""


def _by_the_vm(frames: Sequence[Frame]) -> bool:
    """Whether a JVM aborted after its own report."""
    return any((frame.module or "").endswith("/libjvm.so") for frame in frames[:_REPORTER])


def native_facts(
    program: Program,
    symbols: Symbolication,
    frames: Sequence[Frame],
    thread_pointer: int,
    heaps: tuple[Arena, ...],
    mark: Callable[[], int | None],
) -> tuple[NativeFacts, tuple[Problem, ...]]:
    """The facts, and what could not be searched. frames: the crashing stack, innermost first. heaps, mark: of malloc.
    Long: one line a fact.

    The searches of memory are made only for a process that aborted, since they cost.
    """
    core, space = program.core, program.memory
    signal = core.signal.number if core.signal is not None else 0
    aborted = signal == _SIGABRT
    functions = [frame.function or "" for frame in frames]
    cxx = program.modules.named("libstdc++") is not None or any("std::" in name for name in functions)
    # An exception is worth looking for even when no terminate() is seen, as in a stripped C++ program.
    may_throw = cxx and (program.modules.named("libjvm.so") is None or _through_cxx(frames))
    places = Places(core, space, next((frame.sp for frame in frames if frame.sp is not None), None))
    problems: list[Problem] = []
    variable = symbols.system_symbol("__abort_msg")
    text = messages.abort_message(space, variable)
    if variable is None and aborted:
        text = messages.abort_message_by_form(core, space, _libc(program))
    runtime: str | None = None
    message: str | None = None
    if signal in (_SIGILL, _SIGTRAP):
        runtime, message = reporters.words(space, frames, symbols.start_at, places) or (None, None)
    if aborted:
        runtime, message = _said(program, symbols, frames, places, asserted=text is None)
        if runtime is not None and message is None and places.exhausted:
            problems.append(_cut_short(f"the text of {runtime}"))
    thrown = aborted and (
        (may_throw and text is None) or any(sign in name for name in functions for sign in _TERMINATE)
    )
    terminated = any(sign in name for name in functions for sign in _TERMINATE)
    living, attributed = (
        exceptions(core, space, places, demangle, symbols.function_at, terminated) if thrown else ((), False)
    )
    if thrown and terminated and not living and places.exhausted:
        problems.append(_cut_short("an exception object"))
    silent = aborted and text is None and message is None and not living and not terminated
    calls = fatal_calls(space, frames, symbols.bounds_at, places) if silent else ()
    canary = space.word(core.auxv.get(AT_RANDOM, 0))
    found = NativeFacts(
        abort_message=text,
        assertion=messages.assertion(text),
        runtime=runtime,
        runtime_message=message,
        exceptions=living,
        exceptions_attributed=attributed,
        fatal_calls=calls,
        printed=printed(core, space, frames, places) if silent and not _by_the_vm(frames) else None,
        panics=rust.panics(core, space, places, frames) if runtime == rust.NAME else (),
        arenas=heaps,
        freed_mark=_address(mark()) if signal in _FAULTS else None,
        anonymous=sum(
            segment.end - segment.start
            for segment in core.segments
            if segment.flags & 2 and not _file_backed(core, segment.start)
        ),
        stack_canary=_address(None if canary is None else canary & ~0xFF),
        hwcap=_value(core, AT_HWCAP),
        hwcap2=_value(core, AT_HWCAP2),
        errno=_errno(program, symbols, thread_pointer),
    )
    return found, tuple(problems)


def _through_cxx(frames: Sequence[Frame]) -> bool:
    """What called abort() lies in the C++ run-time, by frames without names."""
    outside = next((frame for frame in frames if not _LIBC.search(frame.module or "")), None)
    return outside is not None and outside.function is None and _LIBSTDCXX.search(outside.module or "") is not None


_LIBC, _LIBSTDCXX = re.compile(r"/libc(?:-2\.\d+)?\.so"), re.compile(r"/libstdc\+\+\.so")


def _said(
    program: Program, symbols: Symbolication, frames: Sequence[Frame], places: Places, asserted: bool
) -> tuple[str | None, str | None]:
    """(runtime, its text) of a process that aborted: from its code, its variables, its stack, then its memory.

    asserted: libc has left no text of an assertion.
    """
    core, space = program.core, program.memory
    told = reporters.words(space, frames, symbols.start_at, places)
    if told is not None and (asserted or told[0] != "assert"):
        return told
    ended = jvmtext.words(core, space, frames, program.modules.named("libjvm.so"))
    if ended is not None:
        return ended
    runtime, message = onstack.words(space, symbols.system_symbol, frames)
    if runtime is not None:
        return runtime, message
    runtime, message = messages.runtime_message(places, [frame.function or frame.module or "" for frame in frames])
    if runtime == rust.NAME:
        message = message or rust.message(core, space, frames, symbols.start_at)
    return runtime, message


def _errno(program: Program, symbols: Symbolication, thread_pointer: int) -> int | None:
    """errno of a thread, by the code of libc's function that gives its address."""
    function = symbols.system_symbol("__errno_location") if thread_pointer else None
    if function is None:
        return None
    machine, space = machine_of(program.core.machine), program.memory
    address = machine.thread_variable(space, function, thread_pointer)
    found = None if address is None else space.signed(address, 4)
    return found if found is not None and 0 <= found < _LAST_ERRNO else None


def _libc(program: Program) -> tuple[tuple[int, int], ...]:
    """The range of the module that has libc in it."""
    modules = program.modules
    libc = modules.named("libc.so") or modules.named("libc-") or modules.executable
    return () if libc is None else ((libc.start, libc.end),)


def _cut_short(wanted: str) -> Problem:
    return Problem(
        stage="native",
        where="writable memory",
        what=f"{wanted} was looked for on the crashing stack, in what it points at and in {BUDGET >> 20} MiB of other"
        " memory, and not found; the rest was not searched",
    )


def _address(value: int | None) -> Address | None:
    return None if value is None else Address(value)


def _value(core: Core, key: int) -> Address | None:
    return _address(core.auxv.get(key))


def _file_backed(core: Core, address: int) -> bool:
    from bisect import bisect_right

    at = bisect_right(core.files, address, key=lambda row: row.start) - 1
    return at >= 0 and address < core.files[at].end
