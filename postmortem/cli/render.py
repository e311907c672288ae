"""postmortem render: any output from a stored report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from postmortem.cli.output import EXISTING, FORMATS, one_line, put, rendered


@click.command()
@click.argument("stored", type=EXISTING, metavar="REPORT.json")
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
        sys.stderr.write(f"postmortem: {stored}: not a stored report: {one_line(str(error))}\n")
        raise SystemExit(3) from None
    if again:
        from postmortem.rules.engine import run

        report = run(report)
    put(rendered(report, form), output)
