"""The rules run again over stored reports, without the cores: when a release brings new ones.

Signatures are made again, too. A bucket keeps its history: it goes where its crashes go.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from postmortem import __version__
from postmortem.errors import AnalysisError
from postmortem.guard.rendering import Request, render
from postmortem.model import from_json
from postmortem.model.triage import Failure, Inputs
from postmortem.triage import store as tables
from postmortem.triage.buckets import assign, changes
from postmortem.triage.renew import keep, signed
from postmortem.triage.run import Done, Watcher
from postmortem.triage.summary import summarize

if TYPE_CHECKING:
    from postmortem.model.triage import Crash
    from postmortem.triage.run import Plan

_BATCH = 100


def judge_again(plan: Plan, watcher: Watcher | None = None) -> Done:
    """Every stored report that lies in the output folder. Raises AnalysisError and OSError as `run` does."""
    watcher = watcher or Watcher()
    name = uuid.uuid4().hex
    failures: list[Failure] = []
    with tables.opened(tables.url_of(plan.store, plan.output), watcher.say) as store:
        found = store.transaction(lambda c: [crash for crash, _, _ in tables.crashes_in(c, sa.true())])
        kept = [crash for crash in found if (plan.output / crash.report).exists()]
        watcher.found(len(kept))
        judged: list[Crash] = []
        done = 0
        for crash in kept:
            try:
                judged.append(_judged(plan, crash))
                done += 1
            except AnalysisError as error:
                failures.append(Failure(path=crash.path, what=str(error)))
            watcher.done(done + len(failures), len(failures))
            if len(judged) >= _BATCH:
                keep(store, judged)
                judged = []
        keep(store, judged)
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
    return signed(stored, from_json(render(Request(stored=stored, form="json", rules=True))), crash)
