"""The analysis of one input, as a function that an executor can send to another process or machine.

The analysis itself runs in the guarded worker (postmortem.guard), a child of the executor's process: an input that
kills its worker costs itself.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from postmortem import interruption
from postmortem.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postmortem.guard.analysis import Made, Request
    from postmortem.guard.limits import WorkerLimits
    from postmortem.model import Report

PRELOAD = (
    "postmortem.triage.work", "postmortem.triage.record", "postmortem.guard.analysis", "postmortem.pipeline",
    "postmortem.hs_err", "postmortem.rules.engine", "parsers.hs_err", "reports.html.page",
    "postmortem.symbols.symbolizer", "postmortem.symbols.mergedinlines", "elftools.elf.elffile", "pdb",
    "postmortem.machines.x86_64.machine", "postmortem.runtimes.hotspot.attach", "postmortem.runtimes.go.attach",
    "postmortem.runtimes.native.attach", "postmortem.runtimes.native.exceptions", "parsers.elf.sections",
    "symbolic.symcache", "capstone", "pydemumble", "zstandard", "parsers.containers.compressed",
    "postmortem.targets.containers.compressed", "postmortem.targets.containers.plain",
    "postmortem.symbols.sources.buildidtree", "postmortem.symbols.sources.debugdirs",
    "postmortem.symbols.sources.debuglink", "postmortem.symbols.damage", "postmortem.symbols.supplement",
    "postmortem.hs_err.beside", "postmortem.values.extract", "postmortem.values.units", "postmortem.values.printers",
    "reports.json", "postmortem.triage.remote",
)  # fmt: skip
"""What the server process imports before it forks workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One input of `size` bytes. report: where its report will be kept, relative to the output folder.

    url: where its bytes are, fetched as they are read into a file in the folder of `path`.
    """

    id: str
    path: Path
    shown: str
    report: str
    size: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 600.0
    memory: int = 4 << 30
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """crash: the record as JSON, document: the report as JSON; or failure: why there is none.

    lost: the failure is not the input's; a later run tries again.
    """

    id: str
    shown: str
    crash: bytes = b""
    document: bytes = b""
    failure: str | None = None
    lost: bool = False


def prepare() -> None:
    """At the start of an executor's process: imports, and no collector walking what they left."""
    from postmortem.guard.analysis import warm

    if multiprocessing.parent_process() is not None:
        # Of the command line's, which the server took over, only the parent has anything to undo. What the caller
        # ignores (nohup) stays ignored.
        for number in interruption.SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    warm()
    rehearse()
    gc.collect()
    gc.freeze()


def rehearse() -> Report:
    """A report of nothing much: what rules, redaction and signature compile and load once, no worker has to."""
    from postmortem.model import Address, Core, Crash, Frame, Process, Report, Signal, Thread, Tool
    from postmortem.redaction import redact
    from postmortem.rules.engine import run
    from postmortem.signature.signature import signature

    frames = tuple(
        Frame(pc=Address(1), sp=Address(1), function=name, file="a.c", module="/a")
        for name in ("a::b", "c", "main", "_start")
    )
    report = Report(
        tool=Tool(name="", version=""),
        core=Core(path="", size=0, format="elf-core"),
        crash=Crash(signal=Signal(number=11, name="SIGSEGV", code=1, fault_address=Address(8)), tid=1),
        threads=(Thread(tid=1, crashed=True, frames=frames),),
        process=Process(arguments=("a", "-u", "b:c", "--name=value", "/pass:d", "password=e"), environment={"A": "b"}),
    )
    report = redact(run(report))
    return msgspec.structs.replace(report, signature=signature(report))


def analyze(tasks: tuple[Task, ...]) -> tuple[Answer, ...]:
    """An answer for each. Never raises for an input, however bad.

    Several, which are small, share a worker; the input at which it ends is done again in one of its own.
    """
    from postmortem.guard.analysis import several

    answers: list[Answer] = []
    left = list(tasks)
    while len(left) > 1:
        try:
            made = several([_request(task) for task in left], _limits(left[0]))
        except OSError:
            break
        done = 0
        for task, found in zip(left, made, strict=True):
            if found is None:
                break
            answers.append(_refused(task, found) if isinstance(found, AnalysisError) else _answer(task, found))
            done += 1
        if done < len(left):
            answers.append(_alone(left[done]))
        left = left[done + 1 :]
    return (*answers, *map(_alone, left))


def _request(task: Task) -> Request:
    from postmortem.guard.analysis import Request

    return Request(core=task.path, options={"frames": "ends", **task.options}, forms=("json",))


def _limits(task: Task) -> WorkerLimits:
    from postmortem.guard.limits import WorkerLimits

    return WorkerLimits(seconds=task.seconds, memory=task.memory)


def _alone(task: Task) -> Answer:
    from postmortem.guard.analysis import analyze as guarded

    if task.url is not None:
        return _by_range(task)
    try:
        return _answer(task, guarded(_request(task), _limits(task)))
    except AnalysisError as error:
        return _refused(task, error)
    except OSError as error:
        words = f"no worker can be made: {error.strerror}"
        return Answer(id=task.id, shown=task.shown, failure=words, lost=True)


def _by_range(task: Task) -> Answer:
    from postmortem.guard.analysis import analyze as guarded
    from postmortem.triage import remote

    try:
        with remote.ranges(task.url or "", task.size, task.path.parent) as (path, supply):
            here = replace(task, path=path, url=None)
            try:
                return _answer(here, guarded(replace(_request(here), supply=supply), _limits(here)))
            except AnalysisError as error:
                return _refused(here, error)
    except Exception as error:  # what a file system raises is its own
        return Answer(id=task.id, shown=task.shown, failure=f"can't be fetched: {error}", lost=True)


def _refused(task: Task, error: AnalysisError) -> Answer:
    return Answer(id=task.id, shown=task.shown, failure=str(error).replace(str(task.path), task.shown))


def _answer(task: Task, made: Made) -> Answer:
    document = made.documents["json"]
    if Path(task.shown).absolute() != task.path:
        try:
            document = _of_elsewhere(task, document)
        except UNUSABLE as error:
            return Answer(id=task.id, shown=task.shown, failure=f"its report can't be used: {error}")
    return recorded(task, document, made.lost)


UNUSABLE = (msgspec.ValidationError, msgspec.DecodeError, UnicodeEncodeError, ValueError, RecursionError)


def _of_elsewhere(task: Task, document: bytes) -> bytes:
    """The report of an input out of a tarball or of a URL: the file that was read is none that anybody knows."""
    from postmortem.model import from_json, to_json

    beside = task.shown.rpartition("/")[0]
    document = document.replace(in_json(str(task.path)), in_json(task.shown))
    report = from_json(document.replace(in_json(f"{task.path.parent}/hs_err"), in_json(f"{beside}/hs_err")))
    if report.crash.time_source == "file":
        stated = task.facts.get("time") if task.facts.get("time_source") == "mtime" else None
        at = datetime.fromtimestamp(float(stated), UTC).replace(microsecond=0).isoformat() if stated else None
        crash = msgspec.structs.replace(report.crash, time=at, time_source="file" if at else None)
        report = msgspec.structs.replace(report, crash=crash)
    return to_json(report)


def in_json(text: str) -> bytes:
    """A text as it is within a JSON string."""
    return msgspec.json.encode(text.encode("utf-8", "backslashreplace").decode())[1:-1]


def recorded(task: Task, document: bytes, lost: str | None) -> Answer:
    """The answer for a report that was made, or was kept."""
    from postmortem.model import from_json
    from postmortem.triage.record import crash_of

    try:
        report = from_json(document)
        crash = crash_of(report, task.id, task.shown, task.report, task.facts, lost)
        return Answer(id=task.id, shown=task.shown, crash=msgspec.json.encode(crash), document=document)
    except UNUSABLE as error:
        return Answer(id=task.id, shown=task.shown, failure=f"its report can't be used: {error}")
