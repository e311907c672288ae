"""The list of stages, from a path to a report. Each takes what the former made."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from parsers.elf import core as core_parser
from parsers.errors import ParseError, Unsupported
from postmortem import __version__, hs_err
from postmortem.errors import AnalysisError
from postmortem.fault.crash import crash as describe_crash
from postmortem.fault.describe import Describer
from postmortem.fault.original import choose_fault
from postmortem.fault.recorded import recorded
from postmortem.fault.siginfo import describe as describe_signal
from postmortem.fault.threads import crashed_first, thread_model
from postmortem.model import Core, Crash, NativeFacts, Problem, Process, Report, Tool
from postmortem.program.identity import describe as describe_process
from postmortem.program.memory import AddressSpace, Piece
from postmortem.program.modules import ModuleMap, load_modules
from postmortem.redaction import redact
from postmortem.rules.engine import run as run_rules
from postmortem.runtimes.hotspot.attach import attach
from postmortem.runtimes.mappings import mappings, memory
from postmortem.runtimes.native.facts import native_facts
from postmortem.runtimes.native.waits import wait
from postmortem.signature.signature import signature
from postmortem.symbols.lostframes import LostFrames
from postmortem.symbols.naming import FrameNamer
from postmortem.symbols.perfmap import GeneratedCode
from postmortem.symbols.symbolication import Symbolication
from postmortem.targets.files import SearchPath
from postmortem.targets.foreign import foreign, refuse
from postmortem.targets.moment import moment
from postmortem.targets.target import opened
from postmortem.unwind.callframes import CallFrames
from postmortem.unwind.threads import unwalked_threads, walk_threads
from postmortem.unwind.walker import Mode, Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from parsers.hs_err import HsErrLog
    from postmortem.model import Frame, Jvm, Thread
    from postmortem.targets.target import Target

_DEBUG_DIRECTORY = Path("/usr/lib/debug")
_SIGABRT = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may choose. Paths: see modules.SearchPath. strict: a failing rule raises.

    progress: told how many bytes of how many the histogram has counted. on_stage: told each stage as it begins.
    redact, masks: whether secrets are masked, and patterns (regular expressions) of what else is.
    without: the stages to leave out, with the reason: what guard.analysis lost in a former attempt.
    """

    executable: Path | None = None
    sysroot: Path | None = None
    debug_dirs: tuple[Path, ...] = ()
    hs_err: Path | None = None
    unwind: Mode = "auto"
    histogram: bool = False
    progress: Callable[[int, int], None] | None = None
    cache_dir: Path | None = None
    strict: bool = False
    redact: bool = True
    masks: tuple[str, ...] = ()
    on_stage: Callable[[str], None] | None = None
    without: Mapping[str, str] = field(default_factory=dict)


_LOG_HEAD = 4096
_LOG_BYTES = 1 << 26
_ELF = b"\x7fELF"


@dataclass(slots=True)
class _Log:
    """Problems and timings as they come up."""

    problems: list[Problem] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    on_stage: Callable[[str], None] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if self.on_stage is not None:
            self.on_stage(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = self.timings.get(name, 0.0) + time.perf_counter() - start
            self.timings[name] = round(spent, 4)


def analyze(path: Path | str, options: Options | None = None) -> Report:
    """One report for a core. Raises AnalysisError when no report is possible."""
    options = options or Options()
    log = _Log(on_stage=options.on_stage)
    if options.on_stage is not None:
        options.on_stage("open")
    with opened(Path(path)) as target:
        log.problems.extend((*target.problems, *_left_out(target, options)))
        with log.stage("log"):
            told = _log_in(target)
        if told is None and (kind := foreign(target)) is not None:
            refuse(target, kind)
        if told is not None:
            return _analyze_log(told, target, options, log)
        return _analyze_core(target, options, log)


def _left_out(target: Target, options: Options) -> Iterator[Problem]:
    for stage, why in options.without.items():
        yield Problem(
            stage=stage, where=str(target.path), what=f"the stage {stage} is left out: {why}",
            hint="what it would have found is missing; please report the input as a fault of postmortem",
        )  # fmt: skip


def _log_in(target: Target) -> HsErrLog | None:
    """The fatal error log that a file is, whole or an excerpt without its head; None when it is none."""
    head = bytes(target.content[:_LOG_HEAD])
    kind = foreign(target)
    if head.startswith(_ELF) or (kind is not None and not kind.text):
        return None
    from parsers.hs_err import parse

    try:
        return parse(target.content[:_LOG_BYTES], excerpt=kind is None)
    except ParseError:
        return None


def _analyze_log(told: HsErrLog, target: Target, options: Options, log: _Log) -> Report:
    with log.stage("log"):
        report = hs_err.from_log(told, str(target.path), target.size, __version__)
        report = msgspec.structs.replace(report, problems=(*log.problems, *report.problems))
    return _judged(report, log, options)


def _judged(report: Report, log: _Log, options: Options) -> Report:
    """The report with its verdict and signature, secrets masked."""
    if "rules" not in options.without:
        with log.stage("rules"):
            report = run_rules(report, strict=options.strict)
            report = msgspec.structs.replace(report, signature=signature(report))
    if options.redact:
        with log.stage("redaction"):
            report = redact(report, options.masks)
    return msgspec.structs.replace(report, timings=log.timings)


def _analyze_core(target: Target, options: Options, log: _Log) -> Report:
    lost = options.without
    with log.stage("core"):
        core = _parse(target)
        if not core.threads:
            raise _no_thread(core, target)
        log.problems.extend(_losses(core, target))
        space = AddressSpace(
            Piece(segment.start, segment.start + segment.dumped, target.content, segment.offset)
            for segment in core.segments
            if segment.dumped
        )
    with log.stage("modules"):
        search = SearchPath(
            executable=options.executable, sysroot=options.sysroot, debug_dirs=options.debug_dirs,
            closed="files" in lost,
        )  # fmt: skip
        modules = ModuleMap(()) if "modules" in lost else load_modules(core, space, search)
        symbolication = Symbolication(modules, space, _debug_directories(options), options.cache_dir, options.sysroot)
    is_code = _executable_ranges(core, modules)
    with log.stage("fault"):
        core = recorded(core, space)
        log.problems.extend(_without_siginfo(core))
    hotspot = None
    if "hotspot" not in lost:
        with log.stage("hotspot"):
            hotspot, found_problems = attach(core, space, modules, symbolication, is_code, search)
            log.problems.extend(found_problems)
    with log.stage("unwind"):
        walker = Walker(
            space,
            CallFrames(modules, space).at,
            is_code,
            foreign=None if hotspot is None else hotspot.unwinder,
            mode=options.unwind,
        )
        walks = unwalked_threads(core) if "unwind" in lost else walk_threads(walker, core)
        log.problems.extend(
            Problem(stage="unwind", where=hex(pc), what=f"damaged call frame information: {what}")
            for pc, what in list(walker.damaged.items())[:20]
        )
    with log.stage("fault"):
        fault = None
        if "fault" not in lost:
            fault = choose_fault(walks, core, space, None if hotspot is None else hotspot.reported)
        walks = crashed_first(walks, fault)
    with log.stage("symbols"):
        generated = GeneratedCode(core, search)
        if "symbols" in lost:
            namer = FrameNamer(modules, lambda module, address: (), lambda pc: None)
        else:
            namer = FrameNamer(modules, symbolication.locate, generated.name)
        named = [namer.all(walk.walk) for walk in walks]
        lost_frames = LostFrames(space.read, symbolication.symbol_at, symbolication.merged_inlines)
        named = [
            lost_frames.restored(walk.walk.frames, frames, merged=walk.crashed)
            for walk, frames in zip(walks, named, strict=True)
        ]
        log.problems.extend(generated.problems)
    with log.stage("threads"):
        tids = frozenset(status.tid for status in core.threads)
        threads = tuple(
            thread_model(
                walk,
                frames,
                core,
                None if hotspot is None else hotspot.thread(walk.status.tid),
                None if "threads" in lost else wait(space, walk.status.registers, _innermost(frames), tids),
                fault,
            )
            for walk, frames in zip(walks, named, strict=True)
        )
    jvm: Jvm | None = None
    uses: tuple[tuple[int, int, str], ...] = ()
    if hotspot is not None:
        with log.stage("hotspot"):
            jvm, uses = hotspot.state(options.histogram, namer.name, options.progress)
            log.problems.extend(hotspot.problems)
    with log.stage("fault"):
        found_mappings = () if "fault" in lost else mappings(core, modules, space, uses)
        describer = Describer(
            space,
            found_mappings,
            modules,
            symbolication.symbol_at,
            [
                (thread.stack.start, thread.stack.end, thread.tid)
                for thread in threads
                if thread.stack is not None and thread.tid is not None
            ],
        )
        crash = Crash(signal=describe_signal(core.signal)) if "fault" in lost else Crash()
        if fault is not None:
            at = symbolication.symbol_at(fault.registers.get("rip", 0))
            start = None if at is None else fault.registers["rip"] - at[1]
            crash = describe_crash(fault, space, describer, start)
    native = NativeFacts()
    process = Process()
    with log.stage("process"):
        if "process" not in lost:
            process = describe_process(core, space, modules)
    with log.stage("native"):
        crashing = list(_crashing_frames(threads))
        cxx = modules.named("libstdc++") is not None or any("std::" in (frame.function or "") for frame in crashing)
        if "native" not in lost:
            native = native_facts(
                core,
                target.content,
                space,
                lambda name: _libc_symbol(modules, symbolication, name),
                crashing,
                aborted=core.signal is not None and core.signal.number == _SIGABRT,
                may_throw=cxx and modules.named("libjvm.so") is None,
                function=lambda address: (symbolication.symbol_at(address) or (None,))[0],
            )
    when, of = moment(target.path, target.path.stat().st_mtime)
    crash = msgspec.structs.replace(crash, time=when, time_source=of)
    report = Report(
        tool=Tool(name="postmortem", version=__version__),
        core=Core(
            path=str(target.path),
            size=target.size,
            format="elf-core" if target.compression is None else f"elf-core.{target.compression}",
            machine=core.machine,
            truncated=core.truncated or bool(target.problems),
            lost=core.lost,
        ),
        process=process,
        crash=crash,
        threads=threads,
        modules=tuple(module.to_model() for module in modules.modules),
        mappings=found_mappings,
        memory=memory(found_mappings),
        native=native,
        jvm=jvm,
    )
    log.problems.extend(_module_problems(report))
    log.problems.extend(_unreadable(target, modules))
    report = msgspec.structs.replace(report, problems=tuple(log.problems))
    if "log" not in lost and (options.hs_err is not None or modules.named("libjvm.so") is not None):
        with log.stage("log"):
            report = hs_err.with_log(report, target.path, options.hs_err)
    return _judged(report, log, options)


def _innermost(frames: list[list[Frame]]) -> list[str]:
    """Names of the first frames of a thread: what it was waiting in."""
    return [frame.function or "" for activation in frames[:6] for frame in activation]


def _crashing_frames(threads: tuple[Thread, ...]) -> Iterator[Frame]:
    if threads:
        yield from (threads[0].handler_frames or ())[:200]
        yield from threads[0].frames[:200]


def _libc_symbol(modules: ModuleMap, symbolication: Symbolication, name: str) -> int | None:
    """Address of a symbol of libc or GLib, or of the executable when that has them linked in."""
    for module in (modules.named("libc.so"), modules.named("libglib-2.0.so"), *modules.modules[:1]):
        if module is not None:
            address = symbolication.address_of(module, name)
            if address is not None:
                return address
    return None


def _module_problems(report: Report) -> Iterator[Problem]:
    """Modules on the crashing stack whose file is not the one that crashed."""
    wanted = {frame.module for frame in _crashing_frames(report.threads)}
    for module in report.modules:
        if module.path in wanted and module.status != "matched":
            yield Problem(
                stage="modules",
                where=module.path,
                what=f"its file is {module.status}; wanted is build-id {module.build_id or '(not in the core)'}"
                + (f", found {module.file_build_id}" if module.file_build_id else ""),
                hint="give it with --exe, --sysroot or --debug-dir; until then its frames have few names and lines",
            )
    generated = [frame for frame in _crashing_frames(report.threads) if _in_generated_code(frame)]
    if generated:
        yield Problem(
            stage="symbols",
            where=str(generated[0].pc),
            what=f"{len(generated)} frames of the crashing thread lie in code generated at run time and have no names",
            hint="HotSpot's own tables name such code, or a /tmp/perf-PID.map that the runtime wrote",
        )


def _in_generated_code(frame: Frame) -> bool:
    return frame.module is None and frame.function is None and frame.kind == "native"


def _parse(target: Target) -> core_parser.Core:
    try:
        return core_parser.parse(target.content)
    except Unsupported as error:
        raise AnalysisError(f"{target.path}: {error.why}", error.hint) from error
    except ParseError as error:
        raise AnalysisError(f"{target.path}: not a core this program can read: {error}", error.hint) from error


def _no_thread(core: core_parser.Core, target: Target) -> AnalysisError:
    """Without registers there is no stack and no fault to report."""
    if core.truncated:
        return AnalysisError(
            f"{target.path}: the core is cut after {core.size} bytes and holds no thread: no registers, no stacks",
            "get the whole file; ulimit -c, a full disk or an interrupted copy cut it",
        )
    return AnalysisError(
        f"{target.path}: the core holds no thread (no NT_PRSTATUS): no registers, no stacks",
        "get a core that the kernel or gcore wrote",
    )


def _losses(core: core_parser.Core, target: Target) -> Iterator[Problem]:
    if core.lost or core.segments_lost:
        cut = sum(1 for segment in core.segments if segment.claimed > segment.dumped)
        yield Problem(
            stage="core",
            where=str(target.path),
            what=f"the core is cut: {core.lost} bytes of {cut} segments lie beyond its end"
            + (f", and {core.segments_lost} segment headers are lost" if core.segments_lost else ""),
            hint="raise ulimit -c or systemd-coredump's ExternalSizeMax, or free the disk, and dump again",
        )
    if core.notes_lost:
        yield Problem(
            stage="core",
            where="PT_NOTE",
            what="the notes are cut: threads, signal or mapped files may be missing",
            hint="the file was cut near its beginning; get the whole core",
        )


def _without_siginfo(core: core_parser.Core) -> Iterator[Problem]:
    """What stands for NT_SIGINFO in a core without one."""
    if core.siginfo or not core.threads:
        return
    signal = core.signal
    if signal is None:
        what = "no siginfo and no current signal: which signal ended the process, if any, is not known"
    elif signal.code is None:
        what = f"no siginfo: signal {signal.number} is NT_PRSTATUS's; its code and the fault address are not known"
    else:
        what = (
            f"no siginfo: signal {signal.number} is NT_PRSTATUS's; its code and the fault address are derived from the"
            " instruction at pc"
        )
    yield Problem(
        stage="core", where="NT_SIGINFO", what=what, hint="kernels before 3.7, gcore and converters leave it out"
    )


def _unreadable(target: Target, modules: ModuleMap) -> Iterator[Problem]:
    """Bytes of files that were there when they were opened and could not be read: one Problem a file."""
    files = [(str(target.path), target.content)]
    files += [(str(module.file), module.content) for module in modules.modules if module.content is not None]
    for path, content in files:
        if not content.lost:
            continue
        first = content.lost[0]
        why = os.strerror(first.errno) if first.errno else "the file was cut meanwhile"
        yield Problem(
            stage="read",
            where=path,
            what=f"{len(content.lost)} ranges can't be read and are absent, the first at offset {first.offset}: {why}",
            hint="look at the disk or the free space of its tmpfs, copy the file and analyze it again",
        )


def _debug_directories(options: Options) -> tuple[Path, ...]:
    root = options.sysroot or Path("/")
    return (*options.debug_dirs, root / _DEBUG_DIRECTORY.relative_to("/"))


def _executable_ranges(core: core_parser.Core, modules: ModuleMap) -> Callable[[int], bool]:
    """Whether an address lies in executable memory, by the core's segments, or by a module's where it has none.

    gdb's gcore writes no segment for file mappings that were never written; a cut core has lost some.
    """
    from bisect import bisect_right

    segments = core.segments
    starts = [segment.start for segment in segments]

    def is_code(address: int) -> bool:
        index = bisect_right(starts, address) - 1
        if index >= 0 and address < segments[index].end:
            return bool(segments[index].flags & 1)
        module = modules.at(address)
        if module is None or module.image is None:
            return False
        offset = address - module.bias
        return any(load.flags & 1 and load.vaddr <= offset < load.vaddr + load.memsz for load in module.image.loads)

    return is_code
