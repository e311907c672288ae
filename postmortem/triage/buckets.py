"""Crashes into buckets, and what is known of a bucket to the one that it has become.

A bucket is a set of signatures (joins.py), made anew from all crashes of the store each time, so that neither the order
in which they came nor the number of runs matters. What people have noted stays with the crashes that it was noted of.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from postmortem.triage import joins, same
from postmortem.triage import store as tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection

    from postmortem.model.triage import Crash

Row = dict[str, Any]


def groups(crashes: Sequence[Crash], links: Iterable[tuple[str, str]] = ()) -> dict[str, list[Crash]]:
    """The crashes by bucket. links: (signature, the one that people made it a part of)."""
    pairs = list(links)
    sets = joins.sets(crashes, pairs)
    members: defaultdict[str, list[Crash]] = defaultdict(list)
    for crash in crashes:
        members[sets.root(crash.signature.id)].append(crash)
    parts = {part for part, _ in pairs}
    wholes: defaultdict[str, set[str]] = defaultdict(set)
    for part, whole in pairs:
        if part in sets and whole in sets and whole not in parts:
            wholes[sets.root(whole)].add(whole)
    return {
        joins.founder([crash for crash in found if crash.signature.id in wholes[root]] or found): found
        for root, found in members.items()
    }


@dataclass(slots=True)
class Change:
    """What a run changed: ids of buckets that it made, that came back, and how many members each got."""

    new: list[str] = field(default_factory=list)
    regressed: list[str] = field(default_factory=list)
    grew: Counter[str] = field(default_factory=Counter)


def assign(connection: Connection, run: str) -> None:
    """Put every crash into its bucket; copies, and logs whose core is there, aside. Repeatable."""
    _lock(connection)
    same.set_aside(connection)
    crashes, placed = [], {}
    for crash, bucket, _ in tables.crashes_in(connection, sa.true()):
        crashes.append(crash)
        if bucket is not None:
            placed[crash.id] = bucket
    made = groups(crashes, tables.linked(connection))
    rows = {row["id"]: dict(row) for row in connection.execute(sa.select(tables.buckets)).mappings()}
    became = _became(made, placed, rows)
    kept: dict[str, Row] = {}
    for name, members in made.items():
        row = _row(name, run, [rows[old] for old, new in became.items() if new == name], members, placed, rows)
        fresh = [crash for crash in members if crash.id not in placed]
        if row["status"] == "fixed" and any(_after(crash, row) for crash in fresh):
            row |= {"status": "regressed", "regressed_run": run}
        kept[name] = row
        tables.set_bucket(connection, [crash.id for crash in members if placed.get(crash.id) != name], name)
    tables.replace_buckets(connection, rows, kept, became)
    tables.lead(connection, {crash.signature.id: name for name, members in made.items() for crash in members}, became)


def _became(made: dict[str, list[Crash]], placed: dict[str, str], rows: dict[str, Row]) -> dict[str, str]:
    """Bucket → the one that now has most of its crashes: first those that keep their name, then by their size."""
    shares: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, members in made.items():
        for crash in members:
            if placed.get(crash.id) in rows:
                shares[placed[crash.id]][name] += 1
    heirs = {old: min(found, key=lambda name: (name != old, -found[name], name)) for old, found in shares.items()}
    heirs |= {name: name for name in made if name in rows and name not in heirs}
    return {old: heirs[old] for old in sorted(heirs, key=lambda old: (heirs[old] != old, -shares[old].total(), old))}


def _row(
    name: str, run: str, before: list[Row], members: Sequence[Crash], placed: dict[str, str], rows: dict[str, Row]
) -> Row:
    """What is known of a bucket: of those that it was, else of the one that it was a part of."""
    if before:
        return combined(before) | {"id": name}
    whole = Counter(placed[crash.id] for crash in members if placed.get(crash.id) in rows)
    if whole:
        return rows[min(whole, key=lambda old: (-whole[old], old))] | {"id": name}
    return {"id": name, "run": run, "status": "known", **dict.fromkeys(_NOTHING)}


def combined(rows: Sequence[Row]) -> Row:
    """What is known of several buckets that became one: the first one's status and ticket, the notes of all."""
    tickets = list(dict.fromkeys(row["ticket"] for row in rows if row["ticket"]))
    notes = [row["notes"] for row in rows if row["notes"]] + [f"also {ticket}" for ticket in tickets[1:]]
    back = next((row for row in rows if row["status"] == "regressed"), rows[0])
    return back | {"ticket": next(iter(tickets), None), "notes": "\n".join(dict.fromkeys(notes)) or None}


def changes(connection: Connection, *runs: str) -> Change:
    """What these runs changed, as the store has it."""
    made, came_back, member = tables.buckets.c.run, tables.buckets.c.regressed_run, tables.inputs
    counts = (
        sa.select(member.c.bucket, sa.func.count())
        .where(member.c.run.in_(runs), member.c.state == "analyzed", member.c.bucket.is_not(None))
        .group_by(member.c.bucket)
    )
    return Change(
        new=sorted(connection.scalars(sa.select(tables.buckets.c.id).where(made.in_(runs)))),
        regressed=sorted(connection.scalars(sa.select(tables.buckets.c.id).where(came_back.in_(runs)))),
        grew=Counter({row[0]: row[1] for row in connection.execute(counts)}),
    )


_NOTHING = ("regressed_run", "fixed_in", "fixed_at", "ticket", "notes")


def _lock(connection: Connection) -> None:
    """One run at a time puts crashes into buckets. (SQLite has one writer at a time anyway.)"""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7036874417766402)"))


def _after(crash: Crash, state: Row) -> bool:
    """Whether a crash is of the version that has the fix, or a later one; unknown versions go by time."""
    fixed, version = _numbers(state["fixed_in"]), _numbers(crash.version)
    if fixed and version:
        return version >= fixed
    if state["fixed_in"] and crash.version and state["fixed_in"] in crash.version:
        return True
    return crash.time is None or state["fixed_at"] is None or crash.time > state["fixed_at"]


def _numbers(version: str | None) -> tuple[int, ...]:
    """ "shop 1.24.3-2" is (1, 24, 3); () where a version is no row of numbers."""
    match = re.search(r"(?<![\w.])\d+(?:\.\d+)+|(?<=\s)\d+(?=-|$)|^\d+$", version or "")
    return tuple(int(part) for part in match[0].split(".")) if match else ()
