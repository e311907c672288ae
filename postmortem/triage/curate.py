"""What people do with buckets: mark, merge, export."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from postmortem.errors import AnalysisError
from postmortem.triage import store as tables
from postmortem.triage.buckets import Change, assign
from postmortem.triage.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection

    from postmortem.model.triage import Bucket, Triage
    from postmortem.triage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All buckets of a store. leads: signature, also one that no crash has any more → bucket."""

    triage: Triage
    leads: Mapping[str, str]

    def one(self, beginning: str) -> Bucket:
        """The bucket whose id, or that of one of whose signatures, begins so. Raises AnalysisError."""
        names = {bucket.id for bucket in self.triage.buckets if bucket.id.startswith(beginning)} or {
            bucket for key, bucket in self.leads.items() if key.startswith(beginning)
        }
        found = [bucket for bucket in self.triage.buckets if bucket.id in names]
        if len(found) != 1 or not beginning:
            words = "no bucket begins" if not found else f"{len(found)} buckets begin"
            raise AnalysisError(f"{beginning}: {words} so", "`postmortem buckets list` shows their ids")
        return found[0]


def load(store: Store) -> Known:
    """All buckets of a store, with the folder of a SQLite file for their reports."""

    def work(connection: Connection) -> Known:
        rows = connection.execute(sa.select(tables.keys))
        leads = {row.key: row.bucket for row in rows}
        return Known(triage=summarize(connection, store.folder or Path(), Change()), leads=leads)

    return store.transaction(work)


def annotate(
    store: Store,
    bucket: str,
    *,
    status: str | None = None,
    fixed_in: str | None = None,
    ticket: str | None = None,
    notes: str | None = None,
) -> None:
    """Keep what is given. A bucket that is fixed knows since when."""
    values: dict[str, Any] = {}
    if fixed_in is not None or status == "fixed":
        values |= {"status": "fixed", "fixed_at": time.time(), "regressed_run": None}
        values |= {} if fixed_in is None else {"fixed_in": fixed_in}
    elif status is not None:
        values |= {"status": status, "fixed_in": None, "fixed_at": None, "regressed_run": None}
    if ticket is not None:
        values["ticket"] = ticket
    if notes is not None:
        values["notes"] = notes

    def work(connection: Connection) -> None:
        connection.execute(tables.buckets.update().where(tables.buckets.c.id == bucket).values(values))

    store.transaction(work)


def merge(store: Store, into: str, others: Sequence[str]) -> None:
    """The others' crashes, and those to come that are like them, become those of `into`, and their notes with them."""

    def work(connection: Connection) -> None:
        found: dict[str, dict[str, str]] = {}
        query = sa.select(tables.inputs.c.bucket, tables.inputs.c.signature, sa.func.min(tables.inputs.c.id))
        condition = tables.inputs.c.state == "analyzed", tables.inputs.c.bucket.in_((into, *others))
        for bucket, key, member in connection.execute(
            query.where(*condition).group_by(tables.inputs.c.bucket, tables.inputs.c.signature)
        ):
            found.setdefault(bucket, {})[key] = member
        whole = found[into].get(into) or min(found[into].values())
        rows = [
            {"part": member, "whole": whole}
            for other in dict.fromkeys(others)
            if other != into
            for member in found[other].values()
        ]
        if rows:
            tables.insert_unless_there(connection, tables.links, rows)
        assign(connection, "")

    store.transaction(work)


def parquet_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A Parquet file. Raises AnalysisError without pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise AnalysisError("--parquet needs pyarrow", "pip install 'postmortem[parquet]'") from None
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), sink)
    return bytes(sink.getvalue())
