"""postmortem why: why two crashes are one bucket, or are not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postmortem.cli.output import complain, one_line

if TYPE_CHECKING:
    from postmortem.model.triage import Crash


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--store", metavar="URL", help="Where ids are looked up.  [default: triage.sqlite, if it is there]")
def why(first: str, second: str, store: str | None) -> None:
    """Say why A and B are one bucket or not, function by function.

    Each is a core, a fatal error log, a stored report, or the beginning of the id of an input or a bucket of the store.
    """
    from postmortem.errors import AnalysisError
    from postmortem.triage.compare import compare
    from postmortem.triage.lookup import Lookup

    if store is None and Path("triage.sqlite").is_file():
        store = "triage.sqlite"
    try:
        lookup = Lookup(store, complain)
        one, other = lookup.crash(first), lookup.crash(second)
        found = compare(one, other, lookup.others, lookup.links)
    except AnalysisError as error:
        complain(f"{error}. Try: {error.hint}")
        raise SystemExit(3) from None
    for letter, crash in (("A", one), ("B", other)):
        click.echo(f"{letter}  {one_line(crash.signature.text)}")
        click.echo(f"   {one_line(_about(crash))}")
    click.echo(f"\n{'one bucket' if found.same else 'not one bucket'}:")
    for reason in found.reasons:
        click.echo(f"  - {one_line(reason)}")
    click.echo(f"\nlikeness of the stacks {found.score:.2f} (1 is equal, -1 nothing in common):")
    click.echo(f"  {'A':>3} {'B':>3}  {'weight':>6}  {'score':>6}")
    for pair in found.pairs:
        places = ["" if place is None else str(place) for place in (pair.first, pair.second)]
        click.echo(
            f"  {places[0]:>3} {places[1]:>3}  {pair.weight:6.3f}  {pair.score:6.3f}  {one_line(pair.name)[:100]}"
        )


def _about(crash: Crash) -> str:
    return f"{crash.path}, {crash.title}"
