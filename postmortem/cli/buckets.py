"""postmortem buckets: what people know of the buckets of a store."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postmortem.cli.output import complain, one_line, put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.triage.store import Store

_STORE = click.option(
    "--store", default="triage.sqlite", show_default=True, metavar="URL", help="SQLite file or postgresql://HOST/NAME."
)


@contextmanager
def _opened(store: str) -> Iterator[Store]:
    from postmortem.errors import AnalysisError
    from postmortem.triage.store import opened, url_of

    try:
        if "://" not in store and not Path(store).is_file():
            raise AnalysisError(f"{store}: no such store", "name that of a triage with --store")
        with opened(url_of(store, Path()), complain) as found:
            yield found
    except AnalysisError as error:
        complain(f"{error}. Try: {error.hint}")
        raise SystemExit(3) from None


@click.group()
def buckets() -> None:
    """List, curate, merge and export the buckets of a store."""


@buckets.command("list")
@_STORE
@click.option("--status", type=click.Choice(["known", "fixed", "regressed"]))
def list_(store: str, status: str | None) -> None:
    """All buckets, the costliest first."""
    from postmortem.triage.curate import load

    with _opened(store) as opened:
        for bucket in load(opened).triage.buckets:
            if status is None or bucket.status == status:
                click.echo(f"{bucket.id[:12]}  {bucket.count:6}  {bucket.status:9}  {one_line(bucket.signature)[:120]}")


@buckets.command()
@click.argument("bucket")
@_STORE
def show(bucket: str, store: str) -> None:
    """One bucket as JSON. BUCKET is the beginning of its id."""
    import msgspec

    from postmortem.triage.curate import load

    with _opened(store) as opened:
        found = load(opened).one(bucket)
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")


@buckets.command("set")
@click.argument("bucket")
@_STORE
@click.option("--status", type=click.Choice(["known", "fixed"]))
@click.option("--fixed-in", metavar="VERSION", help="Marks it as fixed in that version; --status known takes it back.")
@click.option("--ticket", metavar="LINK")
@click.option("--notes", metavar="TEXT")
def set_(
    bucket: str, store: str, status: str | None, fixed_in: str | None, ticket: str | None, notes: str | None
) -> None:
    """Set what is known of a BUCKET. A crash of a version that has the fix makes a fixed one regressed."""
    from postmortem.triage.curate import annotate, load

    if status is None and fixed_in is None and ticket is None and notes is None:
        raise click.UsageError("nothing to set")
    if status == "known" and fixed_in is not None:
        raise click.UsageError("--status known takes back a fix, --fixed-in tells of one: give one of them")
    with _opened(store) as opened:
        found = load(opened).one(bucket)
        annotate(opened, found.id, status=status, fixed_in=fixed_in, ticket=ticket, notes=notes)


@buckets.command()
@click.argument("into")
@click.argument("others", nargs=-1, required=True, metavar="BUCKET...")
@_STORE
def merge(into: str, others: tuple[str, ...], store: str) -> None:
    """Make each BUCKET a part of INTO, now and for crashes to come.

    INTO keeps its status and its ticket; the notes of the others are added to its own, and their tickets to the notes.
    """
    from postmortem.triage.curate import load
    from postmortem.triage.curate import merge as merge_

    with _opened(store) as opened:
        known = load(opened)
        target = known.one(into)
        parts = {bucket.id: bucket for bucket in map(known.one, others) if bucket.id != target.id}
        if not parts:
            raise click.UsageError("a bucket can't be merged with itself alone")
        merge_(opened, target.id, list(parts))
        for part in parts.values():
            click.echo(f"{part.id[:12]}  {part.count:6}  {one_line(part.signature)[:100]}")
        after = load(opened).one(target.id)
        click.echo(f"are now a part of\n{after.id[:12]}  {after.count:6}  {one_line(after.signature)[:100]}")


@buckets.command()
@_STORE
@click.option("--csv", "csv_", type=click.Path(path_type=Path, allow_dash=True), help="File, or - for standard output.")
@click.option("--parquet", type=click.Path(path_type=Path))
def export(store: str, csv_: Path | None, parquet: Path | None) -> None:
    """The buckets as a table."""
    if csv_ is None and parquet is None:
        raise click.UsageError("--csv or --parquet")
    from postmortem.errors import AnalysisError
    from postmortem.triage.curate import load, parquet_of
    from reports.index import table

    with _opened(store) as opened:
        found = load(opened).triage.buckets
        try:
            if csv_ is not None:
                put(table.render(found).encode("utf-8", "backslashreplace"), csv_)
            if parquet is not None:
                put(parquet_of(table.rows(found)), parquet)
        except OSError as error:
            raise AnalysisError(f"can't write: {error.strerror}", "check the path") from None
