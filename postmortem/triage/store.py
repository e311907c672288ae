"""The store: crashes and buckets in SQLite or PostgreSQL, by SQLAlchemy Core.

An input's identity is its primary key, and so is a bucket's id: several runs at once write the same rows and lose or
double nothing. Counts are never stored. A lost connection is waited for, and the transaction made again as a whole.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite

from postmortem.errors import AnalysisError
from postmortem.model.triage import Crash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

metadata = sa.MetaData()

inputs = sa.Table(
    "inputs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger),
    sa.Column("kind", sa.String(8)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("what", sa.Text),
    sa.Column("signature", sa.String(64)),
    sa.Column("exact", sa.String(64)),
    sa.Column("bucket", sa.String(64), index=True),
    sa.Column("time", sa.Float),
    sa.Column("run", sa.String(32), index=True),
    sa.Column("crash", sa.LargeBinary),
)
"""state: analyzed, failed, or paired (a log whose core is there). crash: JSON of model.triage.Crash."""

buckets = sa.Table(
    "buckets",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("run", sa.String(32), nullable=False),
    sa.Column("regressed_run", sa.String(32)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("fixed_in", sa.Text),
    sa.Column("fixed_at", sa.Float),
    sa.Column("ticket", sa.Text),
    sa.Column("notes", sa.Text),
)
"""run: that made it, for which it is new. status: known, fixed or regressed, which regressed_run found out."""

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("bucket", sa.String(64), nullable=False, index=True),
)
"""Ids of signatures, also of those that no crash has any more, and the bucket that each leads to."""

links = sa.Table(
    "links",
    metadata,
    sa.Column("part", sa.String(64), primary_key=True),
    sa.Column("whole", sa.String(64), primary_key=True),
)
"""Inputs whose buckets people made one: that of `part` is a part of that of `whole`."""

_PATIENCE = 120.0
"""Seconds for which a server that is away is waited for."""

T = TypeVar("T")


class Store:
    """An opened store. away: told in words when the server does not answer, and when it is back."""

    def __init__(self, engine: Engine, away: Callable[[str], None]) -> None:
        self._engine = engine
        self._away = away
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        self.folder = Path(file).parent if file else None

    def transaction(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns. It is done again as a whole when the connection is lost: it must be repeatable.

        Raises AnalysisError when the server stays away.
        """
        until = time.monotonic() + _PATIENCE
        pause, told = 0.2, False
        while True:
            try:
                with self._engine.begin() as connection:
                    result = work(connection)
            except (exc.OperationalError, exc.InterfaceError) as error:
                if not _may_pass(error) or time.monotonic() > until:
                    raise AnalysisError(f"the store: {_words(error)}", "look whether it runs") from None
                if not told:
                    self._away(f"the store does not answer ({_words(error)}); waiting for it")
                    told = True
                self._engine.dispose()
                time.sleep(pause)
                pause = min(pause * 1.5, 5.0)
                continue
            except exc.DBAPIError as error:
                raise AnalysisError(f"the store: {_words(error)}", "check --store") from None
            if told:
                self._away("the store answers again")
            return result

    def known(self) -> dict[str, tuple[str, str | None]]:
        """id → (state, what) of every input that was dealt with."""
        query = sa.select(inputs.c.id, inputs.c.state, inputs.c.what)
        return self.transaction(lambda c: {row.id: (row.state, row.what) for row in c.execute(query)})

    def add(self, run: str, crashes: Sequence[Crash], failures: Sequence[tuple[str, str, str]]) -> None:
        """Crashes, and (id, path, what) of inputs without a report. What is there already stays as it is."""
        rows = [_row(run, crash) for crash in crashes]
        for identity, path, what in failures:
            failed = {"id": identity, "path": path, "folder": folder(path), "state": "failed", "what": what}
            rows.append(_empty() | failed | {"run": run})
        if rows:
            self.transaction(lambda c: insert_unless_there(c, inputs, rows))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _empty() -> dict[str, Any]:
    return dict.fromkeys(column.name for column in inputs.columns)


def _row(run: str, crash: Crash) -> dict[str, Any]:
    return {
        "id": crash.id, "path": crash.path, "folder": folder(crash.path), "pid": crash.pid, "kind": crash.kind,
        "state": "analyzed", "what": None, "signature": crash.signature.id, "exact": crash.signature.exact,
        "bucket": None, "time": crash.time, "run": run, "crash": msgspec.json.encode(crash),
    }  # fmt: skip


def folder(path: str) -> str:
    """The folder of a path, of a URL, or of a tarball's member."""
    return path.rpartition("/")[0]


def insert_unless_there(connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert; a row whose primary key is there already is left alone."""
    kind = connection.dialect.name
    insert = postgresql.insert(table) if kind == "postgresql" else sqlite.insert(table)
    # In one order, so that two runs that insert the same rows wait for each other and don't lock each other up.
    primary = [column.name for column in table.primary_key.columns]
    connection.execute(insert.on_conflict_do_nothing(), sorted(rows, key=lambda row: [row[name] for name in primary]))


def crashes_in(connection: Connection, condition: Any) -> Iterator[tuple[Crash, str | None, str]]:
    """(crash, its bucket, its run) of analyzed inputs, by id."""
    query = (
        sa.select(inputs.c.crash, inputs.c.bucket, inputs.c.run)
        .where(inputs.c.state == "analyzed", condition)
        .order_by(inputs.c.id)
    )
    for row in connection.execute(query):
        yield decoded(row.crash), row.bucket, row.run


decoded = msgspec.json.Decoder(Crash).decode
"""The record of an input."""


def set_bucket(connection: Connection, ids: Iterable[str], bucket: str) -> None:
    """Put inputs into a bucket."""
    wanted = list(ids)
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        connection.execute(inputs.update().where(inputs.c.id.in_(part)).values(bucket=bucket))


def linked(connection: Connection) -> list[tuple[str, str]]:
    """(signature, the one of whose bucket it is a part), as people said."""
    part, whole = inputs.alias(), inputs.alias()
    query = (
        sa.select(part.c.signature, whole.c.signature)
        .join_from(links, part, links.c.part == part.c.id)
        .join(whole, links.c.whole == whole.c.id)
    )
    return sorted({(row[0], row[1]) for row in connection.execute(query) if row[0] != row[1]})


def replace_buckets(
    connection: Connection,
    rows: Mapping[str, dict[str, Any]],
    kept: Mapping[str, dict[str, Any]],
    became: Mapping[str, str],
) -> None:
    """Make `kept` of `rows`. became: bucket → what it is a part of now."""
    gone = [old for old, new in became.items() if old != new and old not in kept]
    for start in range(0, len(gone), 500):
        connection.execute(buckets.delete().where(buckets.c.id.in_(gone[start : start + 500])))
    for name, row in sorted(kept.items()):
        if name not in rows:
            insert_unless_there(connection, buckets, [row])
        elif row != rows[name]:
            connection.execute(buckets.update().where(buckets.c.id == name).values(row))


def lead(connection: Connection, signatures: Mapping[str, str], became: Mapping[str, str]) -> None:
    """Signatures to their buckets, and those of buckets that are now others."""
    for old, new in became.items():
        if old != new:
            connection.execute(keys.update().where(keys.c.bucket == old).values(bucket=new))
    known = {row.key: row.bucket for row in connection.execute(sa.select(keys))}
    fresh = [{"key": key, "bucket": bucket} for key, bucket in signatures.items() if key not in known]
    if fresh:
        insert_unless_there(connection, keys, fresh)
    for key, bucket in signatures.items():
        if known.get(key, bucket) != bucket:
            connection.execute(keys.update().where(keys.c.key == key).values(bucket=bucket))


def _may_pass(error: exc.DBAPIError) -> bool:
    """Whether to wait: a server that is away or starting, a database that another run has locked."""
    text = str(error.orig).lower()
    if "authentication" in text or "does not exist" in text or "unable to open" in text or "readonly" in text:
        return False
    return error.connection_invalidated or any(
        words in text
        for words in ("connect", "locked", "shutting down", "starting up", "terminat", "closed", "recovery", "server")
    )


def _words(error: exc.DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__


def url_of(store: str | None, output: Path) -> str:
    """The SQLAlchemy URL: a file in the output folder, a path, or a URL; PostgreSQL through psycopg."""
    if store is None:
        return f"sqlite:///{(output / 'triage.sqlite').absolute()}"
    if "://" not in store:
        return f"sqlite:///{Path(store).absolute()}"
    for prefix in ("postgresql://", "postgres://"):
        if store.startswith(prefix):
            return f"postgresql+psycopg://{store.removeprefix(prefix)}"
    return store


@contextmanager
def opened(url: str, away: Callable[[str], None]) -> Iterator[Store]:
    """The store at a URL, with the newest schema. Raises AnalysisError when it can't be had."""
    try:
        arguments = {"timeout": 60} if url.startswith("sqlite") else {"connect_timeout": 10}
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args=arguments)
    except exc.ArgumentError:
        raise AnalysisError(f"{url}: is no store", "give a file, sqlite:///FILE or postgresql://HOST/NAME") from None
    except ImportError:
        raise AnalysisError("this store needs a driver", "pip install 'postmortem[postgresql]'") from None
    if url.startswith("sqlite"):
        event.listen(engine, "connect", _sqlite_settings)
        # Without it the driver begins no transaction before CREATE TABLE, nor before reading.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    store = Store(engine, away)
    try:
        store.transaction(_upgrade)
        yield store
    finally:
        store.close()


def _sqlite_settings(connection: Any, record: Any) -> None:
    connection.isolation_level = None
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error:
        connection.close()  # the pool does not know it yet
        raise


def _upgrade(connection: Connection) -> None:
    """Bring the schema up to date; one run at a time."""
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7036874417766401)"))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    if MigrationContext.configure(connection).get_current_revision() == newest:
        return
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
