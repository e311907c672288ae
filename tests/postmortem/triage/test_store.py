"""The store: history, several runs at once, schema."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from postmortem.errors import AnalysisError
from postmortem.triage import curate, store
from postmortem.triage.buckets import Change, assign, changes
from tests.postmortem.triage.crashes import crash

if TYPE_CHECKING:
    from pathlib import Path

    from postmortem.model.triage import Crash
    from postmortem.triage.store import Store


def quiet(words: str) -> None:
    """Nobody listens."""


def take(opened: Store, run: str, *crashes: Crash) -> Change:
    opened.add(run, crashes, [])
    opened.transaction(lambda connection: assign(connection, run))
    return opened.transaction(lambda connection: changes(connection, run))


def test_migrations_make_the_tables_that_the_code_has(tmp_path: Path) -> None:
    with store.opened(f"sqlite:///{tmp_path}/s", quiet) as opened:
        pass
    engine = sa.create_engine(f"sqlite:///{tmp_path}/s")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), store.metadata) == []
    engine.dispose()
    with store.opened(f"sqlite:///{tmp_path}/s", quiet) as opened:
        assert opened.known() == {}


def test_new_known_grown_fixed_regressed_merged(tmp_path: Path) -> None:
    with store.opened(f"sqlite:///{tmp_path}/s", quiet) as opened:
        one = crash(number=1, version="shop 1.2", time=10.0)
        found = take(opened, "r1", one, crash("bad address", number=9))
        assert len(found.new) == 2
        bucket = one.signature.id
        again = take(opened, "r2", one, crash(number=2, version="shop 1.2"))
        assert (again.new, again.grew[bucket]) == ([], 1)
        curate.annotate(opened, bucket, fixed_in="1.10", ticket="SHOP-1")
        assert take(opened, "r3", crash(number=3, version="shop 1.9")).regressed == []
        assert take(opened, "r4", crash(number=4, version="shop 1.10")).regressed == [bucket]
        triage = curate.load(opened).triage
        (item,) = [item for item in triage.buckets if item.id == bucket]
        assert (item.status, item.fixed_in, item.ticket, item.count) == ("regressed", "1.10", "SHOP-1", 4)
        (other,) = [item for item in triage.buckets if item.id != bucket]
        curate.merge(opened, bucket, [other.id])
        take(opened, "r5", crash("bad address", number=10))
        (item,) = curate.load(opened).triage.buckets
        assert item.count == 6 and set(item.signatures) == {bucket, other.id}
        with pytest.raises(AnalysisError, match="no bucket begins"):
            curate.load(opened).one("zz")


def test_a_log_beside_its_core_is_not_counted(tmp_path: Path) -> None:
    with store.opened(f"sqlite:///{tmp_path}/s", quiet) as opened:
        core = crash(number=1, pid=7, path="/a/core")
        take(opened, "r1", crash(number=2, pid=7, kind="log", path="/a/hs_err_pid7.log"))
        take(opened, "r2", core, crash(number=3, pid=7, kind="log", path="/b/hs_err_pid7.log"))
        (bucket,) = curate.load(opened).triage.buckets
        assert sorted(member.path for member in bucket.members) == ["/a/core", "/b/hs_err_pid7.log"]


def test_several_runs_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    crashes = [crash(f"null+{number % 7}", number=number) for number in range(70)]
    new: list[str] = []

    def work(run: str) -> None:
        with store.opened(f"sqlite:///{tmp_path}/s", quiet) as opened:
            for start in range(0, 70, 10):
                new.extend(take(opened, run, *crashes[start : start + 10]).new[:0])
            new.extend(opened.transaction(lambda connection: changes(connection, run)).new)

    with store.opened(f"sqlite:///{tmp_path}/s", quiet):
        pass  # alembic's context is of the whole process: only here threads stand for runs
    threads = [threading.Thread(target=work, args=(f"r{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.opened(f"sqlite:///{tmp_path}/s", quiet) as opened:
        assert sorted(bucket.count for bucket in curate.load(opened).triage.buckets) == [10] * 7
    assert len(new) == len(set(new)) == 7


def test_a_store_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError), store.opened(f"sqlite:///{tmp_path}/no/such/folder/s", quiet):
        pass
