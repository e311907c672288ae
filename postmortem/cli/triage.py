"""postmortem triage: everything that was collected, grouped by cause."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postmortem.cli.output import EXISTING, complain, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model.triage import Triage
    from postmortem.triage.run import Watcher


@click.command()
@click.argument("places", nargs=-1, metavar="PATH_OR_URL...")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Output folder.")
@click.option("--store", metavar="URL", help="SQLite file or postgresql://HOST/NAME.  [default: OUTPUT/triage.sqlite]")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Analyses at a time.  [default: processors]")
@click.option("--cluster", metavar="ADDRESS", help="Analyze on the workers of this Dask scheduler.")
@click.option("--exe", type=EXISTING, help="The executable that crashed.")
@click.option("--sysroot", type=EXISTING, help="Root of the file system that the processes saw.")
@click.option("--debug-dir", "debug_dirs", multiple=True, type=EXISTING, help="Where separate debug files lie.")
@click.option("--host-from", metavar="PATTERN", help="The host is what this regular expression finds in the path.")
@click.option(
    "--rules",
    "judged",
    type=click.Path(exists=True, path_type=Path, file_okay=False),
    metavar="DIR",
    help="Run the rules again over the reports of an earlier run, without the cores.",
)
@click.option("--on-new", metavar="CMD", help="Run for each new bucket, its JSON on standard input.")
@click.option("--fail-on", type=click.Choice(["new"]), help="Exit with 1 on a new or regressed bucket.")
@click.option("--max-seconds", type=click.FloatRange(min=0.1), default=600.0, show_default=True, help="For one input.")
@click.option("--max-memory", type=click.IntRange(min=64), default=4096, show_default=True, metavar="MB")
def triage(
    places: tuple[str, ...],
    output: Path | None,
    store: str | None,
    jobs: int | None,
    cluster: str | None,
    exe: Path | None,
    sysroot: Path | None,
    debug_dirs: tuple[Path, ...],
    host_from: str | None,
    judged: Path | None,
    on_new: str | None,
    fail_on: str | None,
    max_seconds: float,
    max_memory: int,
) -> None:
    """Group the crashes below each PATH_OR_URL by cause.

    Cores and fatal error logs are found by content in folders, patterns, tarballs and URLs. A second run with the same
    store analyzes what is new, and says what came, came back and grew.
    """
    from postmortem.errors import AnalysisError
    from postmortem.triage.again import judge_again
    from postmortem.triage.run import Plan, run
    from postmortem.triage.write import write

    try:
        pattern = re.compile(host_from) if host_from is not None else None
    except re.error as error:
        raise click.UsageError(f"--host-from: not a regular expression: {error}") from None
    if output is None:
        output = judged
    if output is None or bool(places) == (judged is not None):
        raise click.UsageError("name what to triage and an output folder with -o, or --rules DIR")
    command = shlex.split(on_new) if on_new is not None else []
    options: dict[str, object] = {"executable": exe, "sysroot": sysroot, "debug_dirs": debug_dirs}
    plan = Plan(
        places=places, output=output, store=store, jobs=jobs, cluster=cluster, host_pattern=pattern, options=options,
        seconds=max_seconds, memory=max_memory << 20,
    )  # fmt: skip
    try:
        with _watching() as watcher:
            done = run(plan, watcher) if judged is None else judge_again(plan, watcher)
            write(done.triage, output)
    except AnalysisError as error:
        complain(f"{error}. Try: {error.hint}")
        raise SystemExit(3) from None
    except OSError as error:
        complain(f"{output}: {error.strerror or error}")
        raise SystemExit(3) from None
    _show(done.triage, output)
    news = {*done.change.new, *done.change.regressed}
    for bucket in done.triage.buckets if command else ():
        if bucket.id in news:
            _tell(command, bucket)
    done.told()
    if judged is None and not done.triage.inputs.analyzed:
        complain(_without_any(done.triage))
        raise SystemExit(3)
    raise SystemExit(1 if fail_on == "new" and news else 0)


def _without_any(triage: Triage) -> str:
    """Why there is nothing to show."""
    failures = [f"{one_line(failure.path)}: {one_line(failure.what)}" for failure in triage.failures[:1]]
    what = f"no report: {failures[0]}" if failures else "no core and no fatal error log was found"
    return f"{what}. Try: name folders, tarballs or URLs that hold cores"


def _tell(command: list[str], bucket: object) -> None:
    """Run the user's command, without a shell, with the bucket's JSON on its standard input."""
    import msgspec

    try:
        done = subprocess.run(command, input=msgspec.json.encode(bucket), timeout=60, check=False)
        if done.returncode:
            complain(f"--on-new {command[0]}: exit status {done.returncode}")
    except (OSError, subprocess.TimeoutExpired) as error:
        complain(f"--on-new {command[0]}: {error}")


def _show(triage: Triage, output: Path) -> None:
    counts = triage.inputs
    new = sum(bucket.status == "new" for bucket in triage.buckets)
    back = sum(bucket.status == "regressed" for bucket in triage.buckets)
    click.echo(
        f"{counts.found} inputs: {counts.analyzed} analyzed ({counts.known} before), {counts.skipped} skipped,"
        f" {counts.failed} failed. {len(triage.buckets)} buckets, {new} new" + (f", {back} regressed." if back else ".")
    )
    for bucket in triage.buckets[:10]:
        click.echo(f"{bucket.count:6}  {bucket.status:9}  {one_line(bucket.signature)[:100]}")
    for suspect in triage.suspects:
        click.echo(f"host {one_line(suspect.host)}: {suspect.signatures} signatures of its own; suspect its hardware")
    click.echo(f"{one_line(str(output))}/index.html")


@contextmanager
def _watching() -> Iterator[Watcher]:
    """Progress with rate and time left, on a terminal; elsewhere a line now and then."""
    from postmortem.triage.run import Watcher

    class Telling(Watcher):
        total, begun, shown = 0, time.monotonic(), time.monotonic()
        terminal = sys.stderr is not None and sys.stderr.isatty()

        def found(self, total: int) -> None:
            self.total = total

        def done(self, number: int, failed: int) -> None:
            now = time.monotonic()
            if now - self.shown < (0.2 if self.terminal else 10.0):
                return
            self.shown = now
            rate = number / max(now - self.begun, 1e-3)
            left = max(self.total - number, 0) / rate if rate else 0.0
            line = f"{number} of {self.total} or more, {rate:.1f}/s, {failed} failed, {left:.0f} s left of those found"
            sys.stderr.write(f"\r\x1b[K{line}" if self.terminal else f"postmortem: {line}\n")
            sys.stderr.flush()

        def say(self, words: str) -> None:
            complain(words)

        def end(self) -> None:
            if self.terminal:
                sys.stderr.write("\r\x1b[K")

    telling = Telling()
    try:
        yield telling
    finally:
        telling.end()
