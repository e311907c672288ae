"""postmortem render: any output from a stored report."""

from __future__ import annotations

from pathlib import Path

import click

from postmortem.cli.output import EXISTING, FORMATS, MASK, complain, mode_for, put


@click.command()
@click.argument("stored", type=EXISTING, metavar="REPORT.json")
@click.option("--format", "form", type=click.Choice(FORMATS), default="html", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, allow_dash=True), default=Path("-"))
@click.option("--rules", "again", is_flag=True, help="Run the rules again.")
@MASK
@click.option("--no-redact", is_flag=True, help="Show secrets that are masked by default.")
def render(stored: Path, form: str, output: Path, again: bool, no_redact: bool, masks: tuple[str, ...]) -> None:
    """Make any output from a stored REPORT.json."""
    from postmortem.errors import AnalysisError
    from postmortem.guard import rendering

    request = rendering.Request(stored=stored, form=form, rules=again, redact=not no_redact, masks=masks)
    try:
        document = rendering.render(request)
    except AnalysisError as error:
        complain(f"{error}. Try: {error.hint}")
        raise SystemExit(3) from None
    try:
        put(document, output, mode_for(stored))
    except OSError as error:
        complain(f"{'standard output' if str(output) == '-' else output}: can't write: {error.strerror}")
        raise SystemExit(3) from None
