"""The list of stages, from a path to a report. Each takes what the former made."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from postmortem import __version__, hs_err
from postmortem.fault.crash import crash_of, signal_only
from postmortem.fault.original import choose_fault
from postmortem.fault.recorded import recorded
from postmortem.fault.threads import crashed_first, thread_models
from postmortem.forensics.process import with_forensics
from postmortem.machines.machine import machine_of
from postmortem.model import Process, Report, Tool
from postmortem.options import Options
from postmortem.program import identity, losses
from postmortem.program.program import Program
from postmortem.redaction import redact
from postmortem.rules.engine import run as run_rules
from postmortem.runtimes.mappings import listed, mappings, memory, with_file_size
from postmortem.runtimes.native.waits import waits
from postmortem.runtimes.runtime import (
    Asked,
    attached,
    caught_by,
    reported_by,
    states_of,
    switch_of,
    thread_of,
    together,
    unwinder_of,
)
from postmortem.signature.signature import signed
from postmortem.stages import Stages
from postmortem.symbols.lostframes import LostFrames
from postmortem.symbols.naming import FrameNamer
from postmortem.symbols.perfmap import GeneratedCode
from postmortem.symbols.symbolication import Symbolication
from postmortem.targets.foreign import refuse_foreign
from postmortem.targets.moment import dated
from postmortem.targets.target import core_in, log_in, opened
from postmortem.unwind.callframes import CallFrames
from postmortem.unwind.threads import unwalked_threads, walk_threads
from postmortem.unwind.walker import Walker
from postmortem.values.stage import Values

if TYPE_CHECKING:
    from postmortem.targets.target import Target

__all__ = ["Options", "analyze"]


def analyze(path: Path | str, options: Options | None = None) -> Report:
    """One report for a core or a log. Raises AnalysisError when no report is possible."""
    chosen = options or Options()
    stages = Stages(chosen)
    stages.begin("open")
    with opened(Path(path)) as target:
        stages.problems.extend((*target.problems, *stages.left_out(str(target.path))))
        with stages.stage("log"):
            log = log_in(target)
        if log is None:
            refuse_foreign(target)
            report = _of_core(target, chosen, stages)
        else:
            report = hs_err.from_log(log, str(target.path), target.size, __version__)
            report = msgspec.structs.replace(report, problems=(*stages.problems, *report.problems))

    def judged_of(unjudged: Report) -> Report:
        return signed(run_rules(unjudged, strict=chosen.strict))

    judged = stages.run("rules", lambda: judged_of(report), report)
    first = judged
    examined = stages.run("forensics", lambda: with_forensics(first, chosen.modules), judged)
    if examined is not judged:
        judged = stages.run("rules", lambda: judged_of(examined), examined)
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
    runtimes = attached(program, symbols, stages)
    unwinder = unwinder_of(runtimes, machine)
    walker = Walker(space, CallFrames(program).at, program.is_code, machine, unwinder, options.unwind)
    walker.function = symbols.bounds_at
    left = functools.partial(switch_of, runtimes)
    walks = run("unwind", lambda: walk_threads(walker, core, program.budget, left), unwalked_threads(walker, core))
    problems.extend(walker.problems())
    reported, caught = reported_by(runtimes, walks), caught_by(runtimes, walks)
    fault = run("fault", lambda: choose_fault(walks, core, space, reported, machine, caught), None)
    ordered = crashed_first(walks, fault)
    generated = GeneratedCode(core, program.search)
    unnamed = FrameNamer(program.modules, lambda module, address: (), lambda pc: None, program.budget)
    named_by = FrameNamer(program.modules, symbols.locate, generated.name, program.budget)
    namer = unnamed if stages.lacks("symbols") else named_by
    with stages.stage("symbols"):
        named = LostFrames(space.read, symbols.symbol_at, symbols.merged_inlines).all(ordered, namer)
        problems.extend(generated.problems)
    values = Values(program, symbols, options.cache_dir, options.values)
    bare = named
    named = run("values", lambda: values.fill(ordered, bare, fault), bare)
    problems.extend(values.problems)
    blocked = run("threads", lambda: waits(space, ordered, named, machine), [None] * len(ordered))
    threads = thread_models(ordered, named, core, lambda tid: thread_of(runtimes, tid), blocked, fault, machine.sp_name)
    crashing = [*(threads[0].handler_frames or ())[:200], *threads[0].frames[:200]] if threads else []
    states = states_of(runtimes, Asked(options, crashing, namer.name), stages)
    uses = [use for state in states for use in state.uses]
    found_mappings = run("fault", lambda: mappings(core, program.modules, space, uses), ())
    crash = run("fault", lambda: crash_of(fault, program, symbols, found_mappings, threads, machine), signal_only(core))
    explained = run("values", lambda: values.explained(crash, ordered, fault), crash)
    found_mappings = with_file_size(found_mappings, crash, program.search)
    report = Report(
        tool=Tool(name="postmortem", version=__version__),
        core=target.described(core),
        process=run("process", lambda: identity.describe(core, space, program.modules), Process()),
        crash=dated(explained, target.path),
        threads=threads,
        modules=tuple(module.to_model() for module in program.modules.modules),
        mappings=listed(found_mappings, program.budget),
        memory=memory(found_mappings, len(core.segments)),
        **together(states),
    )
    problems.extend(losses.module_losses(report.modules, crashing))
    problems.extend((*losses.unreadable(program, target), *program.budget.problems()))
    report = msgspec.structs.replace(report, problems=tuple(problems), limits=program.budget.limits_reached)
    if options.hs_err is None and program.modules.named("libjvm.so") is None:
        return report
    return run("log", lambda: hs_err.with_log(report, target.path, options.hs_err), report)
