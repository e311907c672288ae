"""postmortem analyze: one report for each core or log."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postmortem.cli.output import (
    EXISTING,
    FORMATS,
    MASK,
    Names,
    complain,
    format_of,
    mode_for,
    put,
    to_terminal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.guard.analysis import Made, Terminal
    from postmortem.guard.limits import WorkerLimits
    from postmortem.targets.watch import Watch

SEVERITIES = ("critical", "high", "medium", "low", "info")


def _source_maps(given: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    """FROM=TO as (FROM, TO)."""
    made = []
    for text in given:
        start, join, directory = text.partition("=")
        if not join or not start or not directory:
            raise click.BadParameter(f"{text!r} is not FROM=TO")
        made.append((start, Path(directory)))
    return tuple(made)


@click.command()
@click.argument("cores", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CORE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Where to write; - is standard output.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by OUTPUT's ending, else html.")
@click.option("--exe", type=EXISTING, help="The executable that crashed.")
@click.option("--sysroot", type=EXISTING, help="Root of the file system that the process saw.")
@click.option(
    "--debug-dir",
    "debug_dirs",
    multiple=True,
    type=EXISTING,
    help="Where separate debug files and modules lie.",
)
@click.option("--hs-err", type=EXISTING, help="The JVM's fatal error log of the same crash.")
@click.option(
    "--unwind",
    type=click.Choice(["auto", "cfi", "fp"]),
    default="auto",
    show_default=True,
    help="How callers are found: by all means, by call frame information only, or by frame pointers only.",
)
@click.option("--histogram", is_flag=True, help="Count the objects of the Java heap by class.")
@click.option(
    "--values",
    type=click.Choice(["none", "crashing", "all"]),
    default="crashing",
    show_default=True,
    help="Of which threads arguments and locals are shown.",
)
@click.option(
    "--source-map",
    "source_maps",
    multiple=True,
    callback=lambda context, option, given: _source_maps(given),
    metavar="FROM=TO",
    help="Show lines of the source that was built in FROM and is in the directory TO.",
)
@click.option(
    "--modules", is_flag=True, help="Examine all modules' files: hardening, needed libraries and versions, compilers."
)
@click.option("--no-redact", is_flag=True, help="Show secrets that are masked by default.")
@MASK
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0.1),
    help="Time for one core; a second try, without the stage that took too long, may take as much.  [default: 600]",
)
@click.option("--max-memory", type=click.IntRange(min=64), metavar="MB", help="Memory for one core.  [default: 4096]")
@click.option("--in-process", is_flag=True, help="No worker and no limits: for debugging.")
@click.option("-v", "--verbose", is_flag=True, help="Say what confines the worker.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit with 1 on a finding this severe or worse.")
def analyze(
    cores: tuple[Path, ...],
    output: Path | None,
    form: str | None,
    exe: Path | None,
    sysroot: Path | None,
    debug_dirs: tuple[Path, ...],
    hs_err: Path | None,
    unwind: str,
    histogram: bool,
    values: str,
    modules: bool,
    source_maps: tuple[tuple[str, Path], ...],
    no_redact: bool,
    masks: tuple[str, ...],
    max_seconds: float | None,
    max_memory: int | None,
    in_process: bool,
    verbose: bool,
    fail_on: str | None,
) -> None:
    """Analyze each CORE and write a report."""
    if len(cores) > 1 and output is not None and str(output) != "-" and not output.is_dir():
        raise click.UsageError("with several cores -o names a directory that exists")
    for given in (*cores, exe, hs_err):
        if output is not None and given is not None and _same_file(output, given):
            raise click.UsageError(f"-o {output} would overwrite the input")
    options: dict[str, Any] = {
        "executable": exe, "sysroot": sysroot, "debug_dirs": debug_dirs, "hs_err": hs_err, "unwind": unwind,
        "histogram": histogram, "values": values, "modules": modules, "source_maps": source_maps,
        "redact": not no_redact, "masks": masks,
    }  # fmt: skip
    limits = _limits(max_seconds, max_memory)
    chosen = format_of(form, output)
    names = Names(cores, chosen)
    if len(cores) > 1 and not in_process:
        # The first worker would import for itself; several share what their parent has imported.
        from postmortem.guard.analysis import warm

        warm()
    worst = 0
    for core in cores:
        code, made = _one(core, options, chosen, limits, in_process, wants_text=output is None, verbose=verbose)
        if made is not None:
            if verbose:
                complain(f"{core}: worker of at most {limits.seconds:g} s, {limits.memory >> 20} MB")
                for words in made.confinement:
                    complain(f"{core}: worker: {words}")
            if made.lost is not None:
                complain(f"{core}: partial report: {made.lost}")
            code = _deliver(made, core, output, chosen, names) or _exit_code(made, fail_on)
        worst = max(worst, code)
    raise SystemExit(worst)


def _limits(seconds: float | None, megabytes: int | None) -> WorkerLimits:
    from postmortem.guard.limits import WorkerLimits

    default = WorkerLimits()
    return WorkerLimits(
        seconds=default.seconds if seconds is None else seconds,
        memory=default.memory if megabytes is None else megabytes << 20,
    )


def _one(
    core: Path,
    options: dict[str, Any],
    form: str,
    limits: WorkerLimits,
    in_process: bool,
    *,
    wants_text: bool,
    verbose: bool,
) -> tuple[int, Made | None]:
    """The documents for one core; else 3, said why."""
    from postmortem.errors import AnalysisError
    from postmortem.guard import analysis

    request = analysis.Request(core=core, options=options, forms=(form,), terminal=_terminal() if wants_text else None)
    try:
        with _watch(core, verbose=verbose) as watch:
            if in_process:
                return 0, analysis.here(request, watch)
            return 0, analysis.analyze(request, limits, watch)
    except AnalysisError as error:
        complain(f"{error}. Try: {error.hint}")
    except OSError as error:
        complain(f"{core}: no worker can be made: {error.strerror}. Try: --in-process")
    return 3, None


def _deliver(made: Made, core: Path, output: Path | None, form: str, names: Names) -> int:
    """Write the document and say where; with the text where no output was named."""
    target: Path | str = output or core
    try:
        if output is None:
            target = names.beside(core, made)
        elif str(output) != "-" and output.is_dir():
            target = names.inside(output, core, made)
        put(made.documents[form], Path(target), mode_for(core))
    except OSError as error:
        where = "standard output" if str(target) == "-" else target
        complain(f"{where}: can't write the report: {error.strerror}")
        return 3
    if str(target) not in ("-", "/dev/stdout"):
        from postmortem.cli.output import one_line
        from postmortem.guard.analysis import encoded

        line = f"report: {one_line(str(target))}\n"
        to_terminal(made.shown + encoded(line, _encoding()))
    return 0


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def _terminal() -> Terminal:
    from postmortem.guard.analysis import Terminal

    colour = False
    if sys.stdout is not None and sys.stdout.isatty():
        colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
    return Terminal(width=shutil.get_terminal_size((80, 24)).columns, colour=colour, encoding=_encoding())


_WORTH_A_LINE = 1 << 26
"""Bytes of a file from which on what is done with it may take long enough to be said."""


@contextmanager
def _watch(core: Path, *, verbose: bool) -> Iterator[Watch]:
    """Lines for what may take long, before it begins, and a bar on the terminal; no bar where nobody looks."""
    from postmortem.targets import watch as watches

    def notice(words: str) -> None:
        if verbose or core.stat().st_size >= _WORTH_A_LINE:
            complain(f"{core}: {words}")

    if sys.stderr is None or not sys.stderr.isatty():
        yield watches.Watch(notice)
        return
    with ExitStack() as open_bars:
        bars: list[Callable[[int, int], None]] = []

        def progress(done: int, total: int) -> None:
            if not bars:
                bars.append(open_bars.enter_context(_bar()))
            bars[0](done, total)

        yield watches.Watch(notice, progress)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar for bytes that are decompressed or counted."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    # Without a thread that redraws: another worker may have to be forked.
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, refresh=True)


def _exit_code(made: Made, fail_on: str | None) -> int:
    if fail_on is None:
        return 0
    worst = SEVERITIES.index(fail_on)
    return int(any(severity in SEVERITIES[: worst + 1] for severity in made.severities))
