"""What people do with buckets: mark, merge, export."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from postmortem.errors import AnalysisError
from postmortem.triage import store as tables
from postmortem.triage.buckets import Change
from postmortem.triage.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection

    from postmortem.model.triage import Bucket, Triage
    from postmortem.triage.store import Store


def load(store: Store) -> Triage:
    """All buckets of a store, with the folder of a SQLite file for their reports."""
    return store.transaction(lambda connection: summarize(connection, store.folder or Path(), Change()))


def one(triage: Triage, beginning: str) -> Bucket:
    """The bucket whose id, or that of one of whose signatures, begins so. Raises AnalysisError."""
    found = [
        bucket
        for bucket in triage.buckets
        if bucket.id.startswith(beginning) or any(key.startswith(beginning) for key in bucket.signatures)
    ]
    if len(found) != 1 or not beginning:
        words = "no bucket begins" if not found else f"{len(found)} buckets begin"
        raise AnalysisError(f"{beginning}: {words} so", "`postmortem buckets list` shows their ids")
    return found[0]


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
        values |= {"status": "fixed", "fixed_in": fixed_in, "fixed_at": time.time(), "regressed_run": None}
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
    """The others' crashes and signatures become those of `into`; their notes go with them."""
    wanted = [other for other in others if other != into]

    def work(connection: Connection) -> None:
        for other in wanted:
            for table in (tables.inputs, tables.keys):
                connection.execute(table.update().where(table.c.bucket == other).values(bucket=into))
            connection.execute(tables.buckets.delete().where(tables.buckets.c.id == other))

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
