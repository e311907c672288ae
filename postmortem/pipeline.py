"""The list of stages, from a path to a report. Each takes what the former made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from postmortem import __version__, hs_err
from postmortem.fault.crash import crash_of
from postmortem.fault.original import choose_fault
from postmortem.fault.threads import crashed_first, thread_models
from postmortem.model import Report, Tool
from postmortem.options import Options
from postmortem.program import identity, losses
from postmortem.program.program import Program
from postmortem.rules.engine import run as run_rules
from postmortem.runtimes.mappings import mappings, memory
from postmortem.runtimes.native.waits import waits
from postmortem.runtimes.runtime import Asked, attached, reported_by, thread_of, together, unwinder_of
from postmortem.signature.signature import signature
from postmortem.stages import Stages
from postmortem.symbols.naming import FrameNamer
from postmortem.symbols.perfmap import GeneratedCode
from postmortem.symbols.symbolication import Symbolication
from postmortem.targets.files import SearchPath
from postmortem.targets.target import core_in, log_in, opened
from postmortem.unwind.callframes import CallFrames
from postmortem.unwind.threads import walk_threads
from postmortem.unwind.walker import Walker

if TYPE_CHECKING:
    from parsers.hs_err import HsErrLog
    from postmortem.targets.target import Target

__all__ = ["Options", "analyze"]


def analyze(path: Path | str, options: Options | None = None) -> Report:
    """One report for a core or a log. Raises AnalysisError when no report is possible."""
    chosen = options or Options()
    with opened(Path(path)) as target:
        stages = Stages(target.problems)
        with stages.stage("log"):
            log = log_in(target)
        report = _of_core(target, chosen, stages) if log is None else _of_log(log, target, stages)
    with stages.stage("rules"):
        report = run_rules(report, strict=chosen.strict)
        report = msgspec.structs.replace(report, signature=signature(report))
    return msgspec.structs.replace(report, timings=stages.timings)


def _of_log(log: HsErrLog, target: Target, stages: Stages) -> Report:
    with stages.stage("log"):
        report = hs_err.from_log(log, str(target.path), target.size, __version__)
        return msgspec.structs.replace(report, problems=(*stages.problems, *report.problems))


def _of_core(target: Target, options: Options, stages: Stages) -> Report:
    stage, problems = stages.stage, stages.problems
    with stage("core"):
        core = core_in(target)
        problems.extend(losses.core_losses(core, str(target.path)))
    with stage("modules"):
        search = SearchPath(executable=options.executable, sysroot=options.sysroot, debug_dirs=options.debug_dirs)
        program = Program(core, target.content, search)
    with program:
        return _of_program(program, target, options, stages)


def _of_program(program: Program, target: Target, options: Options, stages: Stages) -> Report:
    stage, problems, core = stages.stage, stages.problems, program.core
    with stage("runtimes"):
        symbols = Symbolication(program, options.debug_directories, options.cache_dir)
        runtimes, unreadable = attached(program, symbols)
        problems.extend(unreadable)
    with stage("unwind"):
        unwinder = unwinder_of(runtimes)
        walker = Walker(program.memory, CallFrames(program).at, program.is_code, unwinder, options.unwind)
        walks = walk_threads(walker, core)
        problems.extend(walker.problems())
    with stage("fault"):
        fault = choose_fault(walks, core, program.memory, reported_by(runtimes))
        walks = crashed_first(walks, fault)
    with stage("symbols"):
        generated = GeneratedCode(core, program.search)
        namer = FrameNamer(program.modules, symbols.locate, generated.name)
        named = [namer.all(walk.walk) for walk in walks]
        problems.extend(generated.problems)
    with stage("threads"):
        blocked = waits(program.memory, walks, named)
        threads = thread_models(walks, named, core, lambda tid: thread_of(runtimes, tid), blocked, fault)
        crashing = [*(threads[0].handler_frames or ())[:200], *threads[0].frames[:200]] if threads else []
    with stage("runtimes"):
        states = [runtime.state(Asked(options, crashing, namer.name)) for runtime in runtimes]
        for runtime in runtimes:
            problems.extend(runtime.problems)
    with stage("fault"):
        uses = [use for state in states for use in state.uses]
        found_mappings = mappings(core, program.modules, program.memory, uses)
        crash = crash_of(fault, program, symbols, found_mappings, threads)
    report = Report(
        tool=Tool(name="postmortem", version=__version__),
        core=target.described(core),
        process=identity.describe(core, program.memory, program.modules),
        crash=crash,
        threads=threads,
        modules=tuple(module.to_model() for module in program.modules.modules),
        mappings=found_mappings,
        memory=memory(found_mappings),
        **together(states),
    )
    problems.extend(losses.module_losses(report.modules, crashing))
    report = msgspec.structs.replace(report, problems=tuple(problems))
    if options.hs_err is None and report.jvm is None and program.modules.named("libjvm.so") is None:
        return report
    with stage("log"):
        return hs_err.with_log_beside(report, target.path, options.hs_err)
