"""postmortem analyze: one report for each core or log."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postmortem.cli.output import EXISTING, FORMATS, one_line, redacted, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.model import Report

SEVERITIES = ("critical", "high", "medium", "low", "info")



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
@click.option("--unwind", type=click.Choice(["auto", "cfi", "fp"]), default="auto", show_default=True)
@click.option("--histogram", is_flag=True, help="Count the objects of the Java heap by class.")
@click.option(
    "--values",
    type=click.Choice(["none", "crashing", "all"]),
    default="crashing",
    show_default=True,
    help="Of which threads arguments and locals are shown.",
)
@click.option("--no-redact", is_flag=True, help="Show secrets that are masked by default.")
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
    no_redact: bool,
    fail_on: str | None,
) -> None:
    """Analyze each CORE and write a report."""
    from postmortem.errors import AnalysisError
    from postmortem.pipeline import Options
    from postmortem.pipeline import analyze as run

    if len(cores) > 1 and output is not None and str(output) != "-" and not output.is_dir():
        raise click.UsageError("with several cores -o names a directory that exists")
    worst = 0
    for core in cores:
        try:
            with _heap_progress(histogram) as progress:
                options = Options(
                    executable=exe, sysroot=sysroot, debug_dirs=debug_dirs, hs_err=hs_err,
                    unwind=unwind,  # type: ignore[arg-type]
                    histogram=histogram, progress=progress,
                    values=values,  # type: ignore[arg-type]
                )  # fmt: skip
                report = run(core, options)
        except AnalysisError as error:
            sys.stderr.write(f"postmortem: {one_line(str(error))}. Try: {error.hint}\n")
            worst = 3
            continue
        report = redacted(report, no_redact)
        write(report, core, output, form)
        worst = max(worst, _exit_code(report, fail_on))
    raise SystemExit(worst)


@contextmanager
def _heap_progress(wanted: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on the terminal for the walk over a heap, which takes a second for some GB; none where nobody looks."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("counting objects"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _exit_code(report: Report, fail_on: str | None) -> int:
    if fail_on is None:
        return 0
    worst = SEVERITIES.index(fail_on)
    return int(any(SEVERITIES.index(finding.severity) <= worst for finding in report.findings))
