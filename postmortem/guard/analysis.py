"""An analysis in a worker: from a path to finished documents. The parent sees no report, only their bytes.

What kills the worker costs the stage it was in, not the report: the analysis is made again without that stage.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from postmortem.errors import AnalysisError
from postmortem.guard.limits import WorkerLimits
from postmortem.guard.worker import Job, Link, Outcome, run
from postmortem.targets.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.model import Report

# Stages that a report can do without; of modules first the files, then the modules as a whole.
_OPTIONAL = (
    "files", "modules", "hotspot", "unwind", "fault", "symbols", "values", "threads", "process", "native", "log",
    "rules", "forensics",
)  # fmt: skip
_ATTEMPTS = 5
_LAST_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What a terminal can show: its width in columns, whether it has colours, its encoding."""

    width: int = 100
    colour: bool = False
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """options: of pipeline.Options, by name. forms: the formats wanted. terminal: text for one is wanted, too.

    supply: as in targets.watch.Watch, for a core of which only a part is here.
    """

    core: Path
    options: dict[str, Any] = field(default_factory=dict)
    forms: tuple[str, ...] = ("html",)
    terminal: Terminal | None = None
    supply: Callable[[int, int], int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """documents: by format. shown: for the terminal, in its encoding. severities: of the findings.

    lost: why the report is partial, one line. pid, build_id: of the process and its executable. confinement: what was
    in force, and what was not and why.
    """

    documents: dict[str, bytes]
    shown: bytes = b""
    severities: tuple[str, ...] = ()
    lost: str | None = None
    pid: str = ""
    build_id: str = ""
    confinement: tuple[str, ...] = ()


class Sink(Protocol):
    """Where the work tells its stages, progress and parts: a worker's link, or here itself."""

    def stage(self, name: str) -> None:
        """The stage that now begins."""

    def progress(self, done: int, total: int) -> None:
        """How much of how much is done."""

    def notice(self, words: str) -> None:
        """Said before something long begins."""

    def part(self, name: str, content: bytes) -> None:
        """A part of the answer."""

    @property
    def supply(self) -> Callable[[int, int], int] | None:
        """Who brings bytes of the input that are not here yet."""


def analyze(request: Request, limits: WorkerLimits | None = None, watch: Watch | None = None) -> Made:
    """Analyze in a worker. Raises AnalysisError when no report is possible.

    A report made again after a loss may take as long as the limits say once more.
    """
    limits = limits or WorkerLimits()
    end = time.monotonic() + 2 * limits.seconds
    without: dict[str, str] = {}
    lost: str | None = None
    again = False
    for attempt in range(1, _ATTEMPTS + 1):
        left = min(limits.seconds, max(end - time.monotonic(), _LAST_SECONDS))
        outcome = run(_job(request, without, watch or Watch()), replace(limits, seconds=left))
        if outcome.refused is not None:
            raise outcome.refused
        if outcome.end is None:
            return _made(outcome, lost)
        what = outcome.end.words + (f" at {outcome.end.detail}" if outcome.end.detail else "")
        lost = lost or f"stage {outcome.stage} {what}"
        # A file that was shortened while it was read raises SIGBUS, and is read to its new end the next time.
        if outcome.end.signal == signal.SIGBUS and not again:
            again = True
            without["input"] = f"its worker {what} in the stage {outcome.stage}, as when a file is cut or can't be read"
            continue
        if not _leave_out(without, outcome.stage, f"its worker {what}", last=attempt == _ATTEMPTS - 1):
            break
    raise AnalysisError(
        f"{request.core}: no report: {lost}",
        "--max-seconds and --max-memory give it more, --in-process shows where it fails; please report the input",
    )


def _leave_out(without: dict[str, str], stage: str, why: str, *, last: bool) -> bool:
    """Choose what the next attempt leaves out; False when there is nothing."""
    if stage == "modules" and "files" not in without:
        stage = "files"
    if stage in _OPTIONAL and stage not in without and not last:
        without[stage] = why
        return True
    if stage not in _OPTIONAL or all(name in without for name in _OPTIONAL):
        return False
    for name in _OPTIONAL:
        without.setdefault(name, f"{why} in the stage {stage}, after other losses")
    return True


def here(request: Request, watch: Watch | None = None) -> Made:
    """The same without a worker, and so without its limits: an error surfaces where it is."""
    sink = _Here(watch or Watch())
    _work(request, {}, sink)
    return _made(Outcome(parts=sink.parts, missing=("all of it: --in-process",)), None)


def several(requests: Sequence[Request], limits: WorkerLimits | None = None) -> list[Made | AnalysisError | None]:
    """Several small inputs, one after the other in one worker, whose limits are for all of them together.

    An AnalysisError where no report is possible; None for the input at which the worker ended, and those after it.
    What is made of one input is only as safe as the others of its batch.
    """
    jobs = [_job(request, {}, Watch()) for request in requests]
    outcome = run(
        Job(
            prepare=lambda: _prepare(requests[0]),
            work=lambda link: _each(requests, link),
            readable=tuple(dict.fromkeys(path for job in jobs for path in job.readable)),
            writable=tuple(dict.fromkeys(path for job in jobs for path in job.writable)),
        ),
        limits,
    )
    answers: list[Made | AnalysisError | None] = []
    for index in range(len(requests)):
        prefix = f"{index}."
        parts = {name.removeprefix(prefix): part for name, part in outcome.parts.items() if name.startswith(prefix)}
        if "refused" in parts:
            words, _, hint = parts["refused"].decode("utf-8", "replace").partition("\0")
            answers.append(AnalysisError(words, hint))
        else:
            whole = "done" in parts
            answers.append(
                _made(Outcome(parts=parts, in_force=outcome.in_force, missing=outcome.missing), None) if whole else None
            )
    return answers


def _each(requests: Sequence[Request], link: Link) -> None:
    for index, request in enumerate(requests):
        sink = _Here(Watch())
        try:
            _work(request, {}, sink)
        except AnalysisError as error:
            link.part(f"{index}.refused", f"{error}\0{error.hint}".encode("utf-8", "backslashreplace"))
            continue
        for name, content in sink.parts.items():
            link.part(f"{index}.{name}", content)
        link.part(f"{index}.done", b"")


class _Here:
    """Keeps what the work hands over."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.supply = watch.supply
        self.parts: dict[str, bytes] = {}

    def stage(self, name: str) -> None:
        """Nobody has to know."""

    def progress(self, done: int, total: int) -> None:
        """Passed on."""
        self._watch.progress(done, total)

    def notice(self, words: str) -> None:
        """Passed on."""
        self._watch.notice(words)

    def part(self, name: str, content: bytes) -> None:
        """Kept by name."""
        self.parts[name] = content


def _job(request: Request, without: dict[str, str], watch: Watch) -> Job:
    """The work with the files that it needs: all of the root that the core's paths are taken in."""
    options = request.options
    readable = [request.core, request.core.parent]
    for named in (options.get("executable"), options.get("hs_err"), options.get("sysroot") or Path("/")):
        if named is not None:
            readable.append(named)
    readable.extend(options.get("debug_dirs", ()))
    readable.extend(directory for _, directory in options.get("source_maps", ()))
    return Job(
        prepare=lambda: _prepare(request),
        work=lambda link: _work(request, without, link),
        readable=tuple(path.absolute() for path in readable),
        writable=tuple(_writable(options.get("cache_dir"))),
        limited=frozenset(_OPTIONAL),
        progress=watch.progress,
        notice=watch.notice,
        supply=request.supply,
    )


def _temporary() -> Path:
    """The folder that tempfile would choose, without the file that it makes to try it."""
    for name in (*map(os.environ.get, ("TMPDIR", "TEMP", "TMP")), "/tmp", "/var/tmp", "/usr/tmp"):
        if name and os.access(name, os.W_OK | os.X_OK) and Path(name).is_dir():
            return Path(name).absolute()
    return Path.cwd()


def warm() -> None:
    """Import what every analysis needs into this process, so that its workers begin with it."""
    from postmortem.rules import rules

    import_module("postmortem.pipeline")
    rules(jvm=True)
    import_module("reports")


def _writable(cache_dir: Path | None) -> list[Path]:
    """The cache, made if it is not there, and the folder in which compressed cores are unpacked."""
    from postmortem.symbols.cache import default_directory

    found = [_temporary()]
    cache = cache_dir or default_directory()
    if cache is not None:
        try:
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return found
        found.append(cache.absolute())
    return found


_USED = (
    "postmortem.pipeline", "postmortem.machines.x86_64.machine", "postmortem.runtimes.go.attach",
    "postmortem.runtimes.native.attach", "postmortem.symbols.symbolizer", "postmortem.values.printers",
    "postmortem.hs_err.beside", "parsers.elf.sections",
)  # fmt: skip
"""What the stages import when they come, and every core needs."""
_USED_BY_SOME = (
    "postmortem.runtimes.hotspot.attach", "postmortem.runtimes.hotspot.heap.histogram", "postmortem.hs_err.merge",
    "postmortem.hs_err.report",
)  # fmt: skip


def _is_compiled(name: str) -> bool:
    source = Path(__file__).parents[2].joinpath(*name.split(".")).with_suffix(".py")
    return Path(cache_from_source(str(source))).exists()


def _prepare(request: Request) -> None:
    """Import what every analysis needs, before the confinement makes importing slower or impossible."""
    import tempfile

    if request.options.get("histogram"):
        # Beside our modules, numba's default, the worker may not write; without a place it compiles each time.
        for folder in _writable(request.options.get("cache_dir"))[1:]:
            os.environ.setdefault("NUMBA_CACHE_DIR", str(folder / "numba"))
    tempfile.tempdir = str(_temporary())
    for name in _USED:
        import_module(name)
    for name in _USED_BY_SOME:
        # Confined, the worker could not keep what it compiles, and would compile it anew each time.
        if not sys.dont_write_bytecode and not _is_compiled(name):
            import_module(name)
    from postmortem.rules import ROWS, rules

    of_jvm = next(row for row in ROWS if row.startswith("jvm."))
    rules(jvm=not sys.dont_write_bytecode and not _is_compiled(f"postmortem.rules.{of_jvm}"))
    from reports import load

    for form in request.forms:
        load(form)
    if request.terminal is not None:
        load("text")
        import_module("rich.console")


def _work(request: Request, without: dict[str, str], sink: Sink) -> None:
    """Analyze, render, hand over."""
    from postmortem.pipeline import Options
    from postmortem.pipeline import analyze as run_stages

    report = run_stages(
        request.core,
        Options(
            **request.options,
            without=without,
            on_stage=sink.stage,
            watch=Watch(sink.notice, sink.progress, sink.supply),
        ),
    )
    sink.stage("reports")
    for form in request.forms:
        sink.part(f"document.{form}", rendered(report, form))
    if request.terminal is not None:
        sink.part("shown", _shown(report, request.terminal))
    sink.part("severities", " ".join(sorted({finding.severity for finding in report.findings})).encode())
    sink.part("pid", str(report.process.pid or "").encode())
    sink.part("build_id", _build_id(report).encode())


def rendered(report: Report, form: str) -> bytes:
    """The document in a format."""
    from reports import FORMATS

    if form == "json":
        from postmortem.model import to_json

        try:
            return to_json(report)
        except UnicodeEncodeError:  # lone surrogates: the format knows what to do
            pass
    return FORMATS[form](report).encode("utf-8", "backslashreplace")


def _shown(report: Report, terminal: Terminal) -> bytes:
    """The text for the terminal, in its encoding."""
    from rich.console import Console

    from reports.terminal import show

    stream = _Stream(terminal.encoding)
    show(report, Console(file=stream, width=terminal.width, force_terminal=terminal.colour, legacy_windows=False))
    return encoded(stream.getvalue(), terminal.encoding)


class _Stream(io.StringIO):
    """A text stream that says which encoding its text is for, so that rich draws no lines that it has not."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._named = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._named


_ASCII = str.maketrans({"·": "-", "…": "...", "→": "->", "×": "x", "–": "-", "—": "-", "“": '"', "”": '"', "’": "'"})


def encoded(text: str, encoding: str) -> bytes:
    """The text for an encoding that may lack some of its characters."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "backslashreplace")
    except LookupError:
        return text.translate(_ASCII).encode("ascii", "backslashreplace")


def _build_id(report: Report) -> str:
    executable = report.process.executable
    for module in report.modules:
        if module.path == executable and module.build_id:
            return module.build_id
    return ""


def _made(outcome: Outcome, lost: str | None) -> Made:
    """What a worker handed over, which is bytes and nothing that needs trust."""
    parts = outcome.parts
    prefix = "document."

    def words(name: str) -> str:
        return parts.get(name, b"")[:4096].decode("ascii", "replace")

    return Made(
        documents={name.removeprefix(prefix): content for name, content in parts.items() if name.startswith(prefix)},
        shown=parts.get("shown", b""),
        severities=tuple(words("severities").split()),
        lost=lost,
        pid="".join(filter(str.isdigit, words("pid"))),
        build_id="".join(letter for letter in words("build_id") if letter in "0123456789abcdef"),
        confinement=(*outcome.in_force, *(f"not in force: {what}" for what in outcome.missing)),
    )
