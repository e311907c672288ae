"""The command line: options in, exit code out. The only writer of files and of the terminal.

Exit codes: 0 report written, 1 a finding at or above --fail-on, 2 usage, 3 no report possible.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postmortem import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.model import Report

SEVERITIES = ("critical", "high", "medium", "low", "info")
FORMATS = ("html", "json", "markdown", "text")
_EXISTING = click.Path(exists=True, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="postmortem")
def cli() -> None:
    """What crashed, on which thread, in whose code, why, and what to do next: from a core dump."""


@cli.command()
@click.argument("cores", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CORE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Where to write; - is standard output.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by OUTPUT's ending, else html.")
@click.option("--exe", type=_EXISTING, help="The executable that crashed.")
@click.option("--sysroot", type=_EXISTING, help="Root of the file system that the process saw.")
@click.option(
    "--debug-dir",
    "debug_dirs",
    multiple=True,
    type=_EXISTING,
    help="Where separate debug files and modules lie.",
)
@click.option("--hs-err", type=_EXISTING, help="The JVM's fatal error log of the same crash.")
@click.option("--unwind", type=click.Choice(["auto", "cfi", "fp"]), default="auto", show_default=True)
@click.option("--histogram", is_flag=True, help="Count the objects of the Java heap by class.")
@click.option("--no-redact", is_flag=True, help="Show secrets that are masked by default.")
@click.option(
    "--fail-on", type=click.Choice(SEVERITIES), help="Exit with 1 on a finding this severe or worse."
)
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
                    unwind=unwind, histogram=histogram, progress=progress,  # type: ignore[arg-type]
                )  # fmt: skip
                report = run(core, options)
        except AnalysisError as error:
            sys.stderr.write(f"postmortem: {_one_line(str(error))}. Try: {error.hint}\n")
            worst = 3
            continue
        report = _redacted(report, no_redact)
        _write(report, core, output, form)
        worst = max(worst, _exit_code(report, fail_on))
    raise SystemExit(worst)


@cli.command()
@click.argument("stored", type=_EXISTING, metavar="REPORT.json")
@click.option("--format", "form", type=click.Choice(FORMATS), default="html", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, allow_dash=True), default=Path("-"))
@click.option("--rules", "again", is_flag=True, help="Run the rules again.")
def render(stored: Path, form: str, output: Path, again: bool) -> None:
    """Make any output from a stored REPORT.json."""
    import msgspec

    from postmortem.model import from_json

    try:
        report = from_json(stored.read_bytes())
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError, OSError) as error:
        sys.stderr.write(f"postmortem: {stored}: not a stored report: {_one_line(str(error))}\n")
        raise SystemExit(3) from None
    if again:
        from postmortem.rules.engine import run

        report = run(report)
    _put(_rendered(report, form), output)


@cli.command()
@click.argument("identity", required=False, metavar="[ID]")
def rules(identity: str | None) -> None:
    """List the diagnosis rules with what they were proven on, or explain one."""
    from postmortem.rules import proven as evidence
    from postmortem.rules.engine import every_rule

    found, problems = every_rule()
    for problem in problems:
        click.echo(f"postmortem: {problem.where}: {problem.what}", err=True)
    if identity is None:
        for rule in found:
            proven = evidence.of(rule.id)
            words = "external" if proven is None else proven.words()
            headline = rule.documentation.strip().partition("\n")[0]
            click.echo(f"{rule.id:28} {rule.group:8} {words:26} {headline}")
        return
    for rule in found:
        if rule.id == identity:
            click.echo(rule.documentation.strip())
            proven = evidence.of(rule.id)
            if proven is not None:
                click.echo(f"Proven on: {', '.join(proven.fires)}.")
                click.echo(f"Silent on: {', '.join(proven.silent)}.")
            return
    raise click.UsageError(f"there is no rule {identity!r}; `postmortem rules` lists them")


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the report."""
    import json

    from postmortem.model import json_schema

    click.echo(json.dumps(json_schema(), indent=2, sort_keys=True))


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


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _redacted(report: Report, no_redact: bool) -> Report:
    if no_redact:
        return report
    from reports.redaction import redact

    return redact(report)


def _rendered(report: Report, form: str) -> bytes:
    if form == "json":
        from postmortem.model import to_json

        return to_json(report)
    from reports import FORMATS as renderers

    return renderers[form](report).encode("utf-8", "backslashreplace")


def _write(report: Report, core: Path, output: Path | None, form: str | None) -> None:
    if output is not None:
        if form is None:
            endings = {".json": "json", ".md": "markdown", ".markdown": "markdown", ".txt": "text"}
            form = endings.get(output.suffix, "html")
        if str(output) != "-" and output.is_dir():
            output = output / f"{core.name}.postmortem.{_ending(form)}"
        _put(_rendered(report, form), output)
        return
    form = form or "html"
    name = f"{core.name}.postmortem.{_ending(form)}"
    beside = core.parent / name
    target = beside if os.access(core.parent, os.W_OK) else Path.cwd() / name
    _put(_rendered(report, form), target)
    from rich.console import Console

    from reports.terminal import show

    show(report, Console())
    click.echo(f"report: {target}")


def _ending(form: str) -> str:
    return {"markdown": "md", "text": "txt"}.get(form, form)


def _put(data: bytes, output: Path) -> None:
    if str(output) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        sys.stderr.write(f"postmortem: {output}: {error.strerror}\n")
        raise SystemExit(3) from None


def _exit_code(report: Report, fail_on: str | None) -> int:
    if fail_on is None:
        return 0
    worst = SEVERITIES.index(fail_on)
    return int(any(SEVERITIES.index(finding.severity) <= worst for finding in report.findings))
