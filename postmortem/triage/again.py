"""The rules run again over stored reports, without the cores: when a release brings new ones.

Signatures are made again, too. A bucket keeps its history: the new signatures of its crashes lead to it.
"""

from __future__ import annotations

import uuid
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from postmortem import __version__
from postmortem.errors import AnalysisError
from postmortem.guard.rendering import Request, render
from postmortem.model import from_json, to_json
from postmortem.model.triage import Failure, Inputs
from postmortem.signature.signature import signature
from postmortem.triage import store as tables
from postmortem.triage.buckets import assign, changes
from postmortem.triage.record import crash_of
from postmortem.triage.run import Done, Watcher, put
from postmortem.triage.summary import summarize

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from postmortem.model.triage import Crash
    from postmortem.triage.run import Plan

_BATCH = 100


def judge_again(plan: Plan, watcher: Watcher | None = None) -> Done:
    """Every stored report that lies in the output folder. Raises AnalysisError and OSError as `run` does."""
    watcher = watcher or Watcher()
    name = uuid.uuid4().hex
    failures: list[Failure] = []
    with tables.opened(tables.url_of(plan.store, plan.output), watcher.say) as store:
        found = store.transaction(lambda c: [(crash, bucket) for crash, bucket, _ in tables.crashes_in(c, sa.true())])
        kept = [(crash, bucket) for crash, bucket in found if (plan.output / crash.report).exists()]
        watcher.found(len(kept))
        judged: list[tuple[Crash, str | None]] = []
        done = 0
        for crash, bucket in kept:
            try:
                judged.append((_judged(plan, crash), bucket))
                done += 1
            except AnalysisError as error:
                failures.append(Failure(path=crash.path, what=str(error)))
            watcher.done(done + len(failures), len(failures))
            if len(judged) >= _BATCH:
                _keep(store, judged)
                judged = []
        _keep(store, judged)
        store.transaction(lambda connection: assign(connection, name))
        change = store.transaction(lambda connection: changes(connection, name))
        triage = store.transaction(lambda connection: summarize(connection, plan.output, change))
    triage = msgspec.structs.replace(
        triage,
        tool_version=__version__,
        inputs=Inputs(found=len(kept), analyzed=done, failed=len(failures), known=done),
        failures=tuple(failures),
    )
    return Done(triage=triage, change=change)


def _judged(plan: Plan, crash: Crash) -> Crash:
    """The record of a report that was judged again; the report is replaced."""
    stored = plan.output / crash.report
    report = from_json(render(Request(stored=stored, form="json", rules=True)))
    report = msgspec.structs.replace(report, signature=signature(report))
    put(stored, to_json(report))
    again = crash_of(report, crash.id, crash.path, crash.report, {}, crash.partial)
    return msgspec.structs.replace(
        again,
        size=crash.size,
        host=crash.host,
        attributed_by=crash.attributed_by,
        time=crash.time,
        time_source=crash.time_source,
        package=crash.package,
        version=crash.version,
    )


def _keep(store: tables.Store, judged: list[tuple[Crash, str | None]]) -> None:
    def work(connection: Connection) -> None:
        leads: dict[str, Counter[str]] = {}
        for crash, bucket in judged:
            values = {
                "signature": crash.signature.id, "exact": crash.signature.exact, "crash": msgspec.json.encode(crash)
            }  # fmt: skip
            connection.execute(tables.inputs.update().where(tables.inputs.c.id == crash.id).values(values))
            if bucket is not None:
                leads.setdefault(crash.signature.id, Counter())[bucket] += 1
        keys = [
            {"key": key, "bucket": min(found, key=lambda name: (-found[name], name))} for key, found in leads.items()
        ]
        if keys:
            tables.insert_unless_there(connection, tables.keys, keys)

    if judged:
        store.transaction(work)
