"""The root of the report, and its JSON."""

from __future__ import annotations

import functools
import threading
from typing import Any

import msgspec

from postmortem.model.address import Address
from postmortem.model.finding import Finding, Verdict
from postmortem.model.host import Host
from postmortem.model.jvm import Jvm
from postmortem.model.process import Crash, Mapping, Memory, Module, Process
from postmortem.model.thread import Thread

SCHEMA_VERSION = "1.0"


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """What made the report."""

    name: str
    version: str


class Core(msgspec.Struct, frozen=True, kw_only=True):
    """The input. `size` in bytes as it lies on disk; `truncated`: it ends before its segments do.

    format: elf-core, elf-core.zst, …, hs_err. `lost`: bytes of segments beyond the end of the file. content: of a
    compressed core the identity of what it holds (parsers/identity.py), by which copies of it are known.
    """

    path: str
    size: int
    format: str
    machine: str | None = None
    truncated: bool = False
    lost: int = 0
    content: str | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the analysis that could not be done, what it costs, and what would mend it."""

    stage: str
    where: str
    what: str
    hint: str | None = None


class CxxException(msgspec.Struct, frozen=True, kw_only=True):
    """A living C++ exception object, in flight, being handled or kept.

    type: demangled. what: what() gives it. base_text: what() is not known, this is what the standard base class
    holds. tid, depth: the thread that holds it as caught (terminate() catches what it ends for) and how many it
    caught after it. older: another one was caught after it. nested_in: address of the exception that holds it as its
    std::nested_exception. unwound: it was thrown, a handler further out on the crashing stack was found for it, and it
    was not there yet, or it was caught then and is kept. resumed: the crashing stack has its unwind header, with which
    a landing pad goes on. uncaught: of the one that a thread caught last, how many others the thread was unwinding then
    (uncaughtExceptions of its __cxa_eh_globals).
    """

    type: str
    what: str | None = None
    base_text: str | None = None
    address: Address
    tid: int | None = None
    handler_count: int = 0
    depth: int | None = None
    older: bool = False
    nested_in: Address | None = None
    unwound: bool = False
    resumed: bool = False
    uncaught: int | None = None


class RustPanic(msgspec.Struct, frozen=True, kw_only=True):
    """A Rust panic that was being unwound.

    address: of its exception object. taken_at: stack pointer of the frame that takes it, where unwinding ends. text:
    its payload, where that is a string.
    """

    address: Address
    taken_at: Address
    text: str | None = None


class Arena(msgspec.Struct, frozen=True, kw_only=True):
    """A non-main glibc malloc arena's heap; bytes."""

    start: Address
    size: int


class FatalCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call on the stack of a process that aborted, by the address that it returns to.

    strings: literals that its caller loads for it. ends: no code follows it, so what was called does not return. text:
    what a format among the strings gave, or what begins with the place of the call, found in memory.
    """

    returns_to: Address
    strings: tuple[str, ...] = ()
    ends: bool = False
    text: str | None = None


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a process which aborted had printed: a place in the source, and what follows it."""

    file: str
    line: int
    text: str


class NativeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of the C and C++ runtimes, read from the core.

    abort_message: glibc's __abort_msg. runtime_message: a sanitizer's, Rust's or Go's text found in
    memory, `runtime` says whose. limits: rlimits as far as known, bytes or counts by name.
    """

    abort_message: str | None = None
    assertion: str | None = None
    runtime: str | None = None
    runtime_message: str | None = None
    exceptions: tuple[CxxException, ...] = ()
    exceptions_attributed: bool = False
    """Every thread's TLS was read: an exception without a tid is held as caught by none."""
    panics: tuple[RustPanic, ...] = ()
    """Those of Rust that were being unwound when the process ended, the one that goes furthest out first."""
    fatal_calls: tuple[FatalCall, ...] = ()
    """Of a process that ended itself through a function of its own, whatever it was given."""
    printed: Printed | None = None
    """What lies on the stack of a process that aborted, or is pointed at from there, and says that something failed."""
    arenas: tuple[Arena, ...] = ()
    anonymous: int = 0
    stack_canary: Address | None = None
    freed_mark: Address | None = None
    """What glibc writes into each block in its threads' caches of freed blocks, where a fault needs it."""
    hwcap: Address | None = None
    hwcap2: Address | None = None
    errno: int | None = None
    """errno of the crashing thread, where libc's TLS block could be read."""


class Goroutines(msgspec.Struct, frozen=True, kw_only=True):
    """Goroutines of Go that are at one place of the program's own code and wait for the same kind of thing.

    ids: of the first of them. state: waiting, runnable, … reason: the run-time's words for what it waits for.
    """

    count: int
    ids: tuple[int, ...]
    state: str
    reason: str | None = None
    function: str
    file: str | None = None
    line: int | None = None


class RuntimeState(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime that was found in the process. state: what it was at, where that can be told."""

    name: str
    version: str | None = None
    state: str | None = None
    goroutines: tuple[Goroutines, ...] = ()
    """Of Go, those in the program's own code."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What two crashes of one defect have in common. Two signatures are equal when their `id` is.

    id: hash of version, cause and frames: equal for all builds of a program. frames: the functions that tell the
    crash apart, innermost first; of a hang, where each thread of the cycle is. text: cause and frames, for people.
    exact: hash of build-ids and offsets, equal for one build only and for crashes whose symbols are missing; None
    where a build-id is not known. incomplete: why `id` may differ from that of the same crash elsewhere.
    """

    id: str
    frames: tuple[str, ...]
    text: str
    cause: str = ""
    version: int = 1
    exact: str | None = None
    incomplete: str | None = None


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """A limit on what an input may ask for, that cut something. left_out: how many at least, None: not known."""

    name: str
    limit: int
    left_out: int | None = None


class LimitsReached(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a run that were reached; each is a Problem, too."""

    reached: tuple[Reached, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer about one core or log."""

    schema_version: str = SCHEMA_VERSION
    tool: Tool
    core: Core
    problems: tuple[Problem, ...] = ()
    process: Process = Process()
    crash: Crash = Crash()
    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()
    threads: tuple[Thread, ...] = ()
    modules: tuple[Module, ...] = ()
    mappings: tuple[Mapping, ...] = ()
    memory: Memory = Memory()
    native: NativeFacts = NativeFacts()
    runtimes: tuple[RuntimeState, ...] = ()
    jvm: Jvm | None = None
    host: Host | None = None
    signature: Signature | None = None
    limits: LimitsReached = LimitsReached()
    redacted: dict[str, int] = {}
    """How many values were masked, by kind: name, option, header, url, token, private key, password hash, pattern, and
    repeated for those that were found again elsewhere."""
    timings: dict[str, float] = {}
    """Seconds by stage."""


def _encode(value: Any) -> Any:
    if isinstance(value, Address):
        return hex(value)
    raise NotImplementedError(type(value))


def _decode(kind: type, value: Any) -> Any:
    if kind is Address:
        return Address(value, 16) if isinstance(value, str) else Address(value)
    raise NotImplementedError(kind)


def _schema(kind: type) -> dict[str, Any]:
    if kind is Address:
        return {"type": "string", "pattern": "^-?0x[0-9a-f]+$"}
    raise NotImplementedError(kind)


def to_json(report: Report) -> bytes:
    """The report as UTF-8 JSON. An integer of more than 64 bits, of a damaged input, is written as the nearest one."""
    try:
        return msgspec.json.encode(report, enc_hook=_encode)
    except OverflowError:
        return msgspec.json.encode(_within_64_bits(msgspec.to_builtins(report, enc_hook=_encode)))


def _within_64_bits(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-(1 << 63), min(value, (1 << 63) - 1))
    if isinstance(value, dict):
        return {key: _within_64_bits(inner) for key, inner in value.items()}
    return [_within_64_bits(inner) for inner in value] if isinstance(value, list | tuple) else value


_MAKING = threading.Lock()
"""msgspec crashes where several threads make the first decoder of a type at once."""


@functools.cache
def _decoder() -> msgspec.json.Decoder[Report]:
    return msgspec.json.Decoder(Report, dec_hook=_decode)


def from_json(data: bytes) -> Report:
    """A stored report. Raises msgspec.ValidationError when it is not one."""
    with _MAKING:
        decoder = _decoder()
    return decoder.decode(data)


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the report."""
    return msgspec.json.schema(Report, schema_hook=_schema)
