"""The list of stages, from a path to a report. Each takes what the former made."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from parsers.elf import core as core_parser
from parsers.elf import notes
from parsers.errors import ParseError
from postmortem import __version__
from postmortem.callframes import CallFrames
from postmortem.errors import AnalysisError
from postmortem.memory import AddressSpace, Piece
from postmortem.model import Address, Core, Problem, Process, Report, Thread, Tool
from postmortem.modules import SearchPath, load_modules
from postmortem.symbolication import Symbolication
from postmortem.target import opened
from postmortem.threads import FrameNamer, ThreadWalk, choose_fault, thread_model, walk_threads
from postmortem.unwind.walker import Mode, Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.hotspot.attach import HotSpot
    from postmortem.modules import ModuleMap
    from postmortem.target import Target

_DEBUG_DIRECTORY = Path("/usr/lib/debug")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may choose. Paths: see modules.SearchPath. strict: a failing rule raises."""

    executable: Path | None = None
    sysroot: Path | None = None
    debug_dirs: tuple[Path, ...] = ()
    hs_err: Path | None = None
    unwind: Mode = "auto"
    histogram: bool = False
    cache_dir: Path | None = None
    strict: bool = False


@dataclass(slots=True)
class _Log:
    """Problems and timings as they come up."""

    problems: list[Problem] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = round(time.perf_counter() - start, 4)


def analyze(path: Path | str, options: Options | None = None) -> Report:
    """One report for a core. Raises AnalysisError when no report is possible."""
    with opened(Path(path)) as target:
        return _analyze_core(target, options or Options())


def _analyze_core(target: Target, options: Options) -> Report:
    log = _Log(problems=list(target.problems))
    with log.stage("core"):
        core = _parse(target)
        log.problems.extend(_losses(core, target))
        space = AddressSpace(
            Piece(segment.start, segment.start + segment.dumped, target.content, segment.offset)
            for segment in core.segments
            if segment.dumped
        )
    with log.stage("modules"):
        search = SearchPath(
            executable=options.executable, sysroot=options.sysroot, debug_dirs=options.debug_dirs
        )
        modules = load_modules(core, space, search)
        symbolication = Symbolication(modules, space, _debug_directories(options), options.cache_dir)
    with log.stage("hotspot"):
        hotspot = _attach_hotspot(modules, space, symbolication, core, log)
    with log.stage("unwind"):
        walker = Walker(
            space,
            CallFrames(modules, space).at,
            _executable_ranges(core, modules),
            hotspot.unwinder if hotspot is not None else None,
            options.unwind,
        )
        walks = walk_threads(walker, core)
        log.problems.extend(
            Problem(stage="unwind", where=hex(pc), what=f"damaged call frame information: {what}")
            for pc, what in list(walker.damaged.items())[:20]
        )
    with log.stage("fault"):
        fault = choose_fault(walks, core, space)
    with log.stage("symbols"):
        namer = FrameNamer(modules, symbolication.locate, lambda _: None)
        named = [[namer.name(raw) for raw in walk.walk.frames] for walk in walks]
    with log.stage("threads"):
        java = hotspot.threads() if hotspot is not None else {}
        threads = tuple(
            thread_model(walk, frames, core, java.get(walk.status.tid), None, fault)
            for walk, frames in zip(walks, named, strict=True)
        )
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
        process=_process(core, space, modules),
        threads=threads,
        modules=tuple(module.to_model() for module in modules.modules),
    )
    return msgspec.structs.replace(report, problems=tuple(log.problems), timings=log.timings)


def _parse(target: Target) -> core_parser.Core:
    try:
        return core_parser.parse(target.content)
    except ParseError as error:
        raise AnalysisError(f"{target.path}: not a core this program can read: {error}", error.hint) from error


def _losses(core: core_parser.Core, target: Target) -> Iterator[Problem]:
    if core.lost or core.segments_lost:
        cut = sum(1 for segment in core.segments if segment.claimed > segment.dumped)
        yield Problem(
            stage="core",
            where=str(target.path),
            what=f"the core is cut: {core.lost} bytes of {cut} segments lie beyond its end"
            + (f", and {core.segments_lost} segment headers are lost" if core.segments_lost else ""),
            hint="raise ulimit -c, systemd-coredump's ExternalSizeMax and ProcessSizeMax, or free the disk, and dump again",
        )
    if core.notes_lost:
        yield Problem(
            stage="core",
            where="PT_NOTE",
            what="the notes are cut: threads, signal or mapped files may be missing",
            hint="the file was cut near its beginning; get the whole core",
        )
    if not core.threads:
        yield Problem(
            stage="core", where="NT_PRSTATUS", what="the core holds no thread, so there are no registers and no stacks",
            hint="get the whole core",
        )  # fmt: skip
    if core.signal is None and core.threads:
        yield Problem(
            stage="core", where="NT_SIGINFO", what="no siginfo: signal code and fault address are not known",
            hint="gcore and old kernels leave it out",
        )  # fmt: skip


def _debug_directories(options: Options) -> tuple[Path, ...]:
    root = options.sysroot or Path("/")
    return (*options.debug_dirs, root / _DEBUG_DIRECTORY.relative_to("/"))


def _executable_ranges(core: core_parser.Core, modules: ModuleMap) -> Callable[[int], bool]:
    """Whether an address lies in executable memory, by the core's segments, or by a module's where these are lost."""
    from bisect import bisect_right

    segments = core.segments
    starts = [segment.start for segment in segments]

    def is_code(address: int) -> bool:
        index = bisect_right(starts, address) - 1
        if index >= 0 and address < segments[index].end:
            return bool(segments[index].flags & 1)
        module = modules.at(address) if core.segments_lost else None
        if module is None or module.image is None:
            return False
        offset = address - module.bias
        return any(load.flags & 1 and load.vaddr <= offset < load.vaddr + load.memsz for load in module.image.loads)

    return is_code


def _attach_hotspot(
    modules: ModuleMap, space: AddressSpace, symbolication: Symbolication, core: core_parser.Core, log: _Log
) -> HotSpot | None:
    libjvm = modules.named("libjvm.so")
    if libjvm is None:
        return None
    return None


def _process(core: core_parser.Core, space: AddressSpace, modules: ModuleMap) -> Process:
    from postmortem.process import describe

    return describe(core, space, modules)
