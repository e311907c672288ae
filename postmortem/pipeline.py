"""The list of stages, from a path to a report. Each takes what the former made."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from postmortem import __version__, hs_err
from postmortem.assembly import assembled
from postmortem.fault.crash import crash_of, signal_only
from postmortem.fault.original import choose_fault
from postmortem.fault.recorded import recorded
from postmortem.fault.threads import crashed_first, thread_models
from postmortem.judgement import judged_by_rules
from postmortem.machines.machine import machine_of
from postmortem.model import Process, Report
from postmortem.options import Options
from postmortem.program import identity, losses
from postmortem.program.program import Program
from postmortem.redaction import redact
from postmortem.runtimes import runtime
from postmortem.runtimes.mappings import mappings, with_file_size
from postmortem.runtimes.native.waits import waits
from postmortem.stages import Stages
from postmortem.symbols.lostframes import LostFrames
from postmortem.symbols.naming import namer_of
from postmortem.symbols.perfmap import GeneratedCode
from postmortem.symbols.symbolication import Symbolication
from postmortem.targets.container import opened
from postmortem.targets.foreign import refuse_foreign
from postmortem.targets.moment import dated
from postmortem.targets.target import Target, core_in, log_in
from postmortem.unwind.callframes import CallFrames
from postmortem.unwind.threads import unwalked_threads, walk_threads
from postmortem.unwind.walker import Walker
from postmortem.values.stage import Values

__all__ = ["Options", "analyze"]


def analyze(path: Path | str, options: Options | None = None) -> Report:
    """One report for a core or a log. Raises AnalysisError when no report is possible."""
    chosen = options or Options()
    stages = Stages(chosen)
    stages.begin("open")
    with opened(Path(path), chosen.watch) as target:
        stages.problems.extend((*target.problems, *stages.left_out(str(target.path))))
        with stages.stage("log"):
            log = log_in(target)
        if log is None:
            refuse_foreign(target)
            report = _of_core(target, chosen, stages)
        else:
            report = hs_err.from_log(log, str(target.path), target.size, __version__)
            report = msgspec.structs.replace(report, problems=(*stages.problems, *report.problems))
    judged = judged_by_rules(report, chosen, stages)
    masked = stages.run("redaction", lambda: redact(judged, chosen.masks), judged) if chosen.redact else judged
    return msgspec.structs.replace(masked, timings=stages.timings)


def _of_core(target: Target, options: Options, stages: Stages) -> Report:
    with stages.stage("core"):
        core = core_in(target)
        stages.problems.extend(losses.core_losses(core, str(target.path)))
    with stages.stage("modules"):
        search = options.search(closed=stages.lacks("files"))
        program = Program(core, target.content, search, modules=not stages.lacks("modules"))
    with stages.stage("fault"):
        program.core = recorded(core, program.memory, machine_of(core.machine))
        stages.problems.extend(losses.without_siginfo(program.core))
    with program:
        return _of_program(program, target, options, stages)


def _of_program(program: Program, target: Target, options: Options, stages: Stages) -> Report:
    run, problems, core, space = stages.run, stages.problems, program.core, program.memory
    machine = machine_of(core.machine)
    problems.extend(losses.wrong_executable(program))
    symbols = Symbolication(program, options.debug_directories, options.cache_dir)
    runtimes = runtime.attached(program, symbols, stages)
    unwinder = runtime.unwinder_of(runtimes, machine)
    walker = Walker(space, CallFrames(program).at, program.is_code, machine, unwinder, options.unwind)
    walker.function, walker.module = symbols.bounds_at, program.modules.at
    left, walker.injected = functools.partial(runtime.switch_of, runtimes), runtime.injected_by(runtimes)
    walked = functools.partial(walk_threads, walker, core, program.budget, left, options.frames)
    walks = run("unwind", walked, unwalked_threads(walker, core))
    problems.extend(walker.problems())
    reported, caught = runtime.reported_by(runtimes, walks), runtime.caught_by(runtimes, walks)
    fault = run("fault", lambda: choose_fault(walks, core, space, reported, machine, caught), None)
    ordered = crashed_first(walks, fault)
    generated = GeneratedCode(core, program.search)
    namer = namer_of(program, symbols, generated.name, bare=stages.lacks("symbols"))
    with stages.stage("symbols"):
        named = LostFrames(space.read, symbols.symbol_at, symbols.merged_inlines).all(ordered, namer)
        problems.extend(generated.problems)
    values = Values(program, symbols, options, machine)
    variables = functools.partial(runtime.variables_of, runtimes)
    valued = run("values", lambda: values.fill(ordered, named, fault, variables), named)
    problems.extend(values.problems)
    blocked = run("threads", lambda: waits(space, ordered, valued, machine, symbols), [None] * len(ordered))
    java = functools.partial(runtime.thread_of, runtimes)
    threads = thread_models(ordered, valued, core, java, blocked, fault, machine.sp_name)
    crashing = [*(threads[0].handler_frames or ())[:200], *threads[0].frames[:200]] if threads else []
    states = runtime.states_of(runtimes, runtime.Asked(options, crashing, namer.name, ordered), stages)
    uses = [use for state in states for use in state.uses]
    found_mappings = run("fault", lambda: mappings(core, program.modules, space, uses), ())
    freed = functools.partial(runtime.freed_by, runtimes)
    found = functools.partial(crash_of, fault, program, symbols, found_mappings, threads, machine, ordered, freed)
    crash = run("fault", found, signal_only(core))
    explained = run("values", lambda: values.explained(crash, ordered, fault), crash)
    found_mappings = with_file_size(found_mappings, crash, program.search)
    process = run("process", lambda: identity.describe(core, space, program.modules, machine), Process())
    report = assembled(program, target, process, dated(explained, target.path), threads, found_mappings, states)
    problems.extend((*losses.module_losses(report.modules, crashing), *losses.unreadable(program, target)))
    problems.extend(program.budget.problems())
    report = msgspec.structs.replace(report, problems=tuple(problems), limits=program.budget.limits_reached)
    return run("log", lambda: hs_err.with_log(report, target.path, options.hs_err), report)
