"""From the store to triage.json: buckets with their history, where and when they come, and what they resemble."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import sqlalchemy as sa

from postmortem.model.triage import Best, Bucket, Member, Near, Status, Triage
from postmortem.triage import cluster, epidemiology
from postmortem.triage import store as tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from postmortem.model.triage import Crash, Excess
    from postmortem.triage.buckets import Change

MOST_MEMBERS = 500
_MOST_NEAR = 3
_MOST_STACKS = 500
_CONFIDENCE = {"certain": 0, "likely": 1, "possible": 2}
_SEVERITY = {"critical": 8, "high": 4, "medium": 2, "low": 1, "info": 1}


def summarize(connection: Connection, output: Path, change: Change) -> Triage:
    """All buckets of the store, the costliest first."""
    members: defaultdict[str, list[Crash]] = defaultdict(list)
    for crash, bucket, _ in tables.crashes_in(connection, tables.inputs.c.bucket.is_not(None)):
        members[bucket or ""].append(crash)
    states = {row.id: row for row in connection.execute(sa.select(tables.buckets))}
    best = {name: min(crashes, key=_worth) for name, crashes in members.items()}
    excess = epidemiology.over_represented(members)
    alike = cluster.near({name: [step.name for step in crash.steps] for name, crash in best.items()})
    texts = {name: crash.signature.text for name, crash in best.items()}
    made = [
        _bucket(states[name], crashes, best[name], output, change, alike.get(name, []), texts, excess.get(name, ()))
        for name, crashes in members.items()
        if name in states
    ]
    stacks: Counter[str] = Counter()
    for crash in (crash for crashes in members.values() for crash in crashes):
        if crash.steps:
            stacks[";".join(step.name.replace(";", ",") for step in reversed(crash.steps))] += 1
    return Triage(
        tool_version="",
        buckets=tuple(sorted(made, key=lambda bucket: (-cost(bucket), bucket.id))),
        suspects=epidemiology.suspects(members),
        stacks=dict(sorted(stacks.most_common(_MOST_STACKS))),
    )


def cost(bucket: Bucket) -> int:
    """What buckets are ranked by: crashes, by how bad each is."""
    return bucket.count * _SEVERITY.get(bucket.severity or "info", 1)


def _worth(crash: Crash) -> tuple[object, ...]:
    """The best report first: whole, of a core, with a sure verdict and symbols."""
    return (
        crash.partial is not None,
        crash.signature.incomplete is not None,
        crash.kind != "core",
        _CONFIDENCE.get(crash.confidence or "", 3),
        -len(crash.steps),
        crash.id,
    )


def _bucket(
    state: sa.Row[tuple[object, ...]],
    crashes: Sequence[Crash],
    best: Crash,
    output: Path,
    change: Change,
    alike: Sequence[tuple[str, float]],
    texts: dict[str, str],
    excess: tuple[Excess, ...],
) -> Bucket:
    times = [crash.time for crash in crashes if crash.time is not None]
    newest = sorted(crashes, key=lambda crash: (-(crash.time or 0.0), crash.id))
    status: Status = "new" if state.id in change.new and state.status == "known" else _status(state.status)
    report = f"reports/{best.id}.html" if (output / best.report).exists() else None
    return Bucket(
        id=state.id,
        title=best.title,
        signature=best.signature.text,
        cause=best.signature.cause,
        rule=best.rule,
        severity=best.severity,
        count=len(crashes),
        grew=change.grew.get(state.id, 0),
        first_seen=min(times, default=None),
        last_seen=max(times, default=None),
        status=status,
        fixed_in=state.fixed_in,
        ticket=state.ticket,
        notes=state.notes,
        programs=_counts(crash.program for crash in crashes),
        hosts=_counts(crash.host for crash in crashes),
        versions=_counts(crash.version for crash in crashes),
        build_ids=_counts(crash.build_id for crash in crashes),
        packages=_counts(crash.package for crash in crashes),
        other_faults=_counts(other for crash in crashes for other in crash.others),
        signatures=tuple(sorted({crash.signature.id for crash in crashes})),
        incomplete=best.signature.incomplete,
        periodicity=epidemiology.periodicity(epidemiology.events(crashes)),
        over_represented=excess,
        similar=tuple(
            Near(id=name, score=score, text=texts[name]) for name, score in alike[:_MOST_NEAR] if name in texts
        ),
        best=None if report is None else Best(path=report, input=best.path),
        members=tuple(
            Member(
                id=crash.id, path=crash.path, host=crash.host, time=crash.time, version=crash.version,
                report=crash.report if (output / crash.report).exists() else None,
            )
            for crash in newest[:MOST_MEMBERS]
        ),
        members_left_out=max(len(crashes) - MOST_MEMBERS, 0),
        steps=best.steps,
    )  # fmt: skip


def _status(text: str) -> Status:
    if text == "fixed":
        return "fixed"
    return "regressed" if text == "regressed" else "known"


def _counts(values: Iterable[str | None]) -> dict[str, int]:
    found = Counter(value for value in values if value is not None)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
