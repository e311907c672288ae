"""Which crashes are one bucket.

A bucket is a signature. Signatures are joined into one bucket where it can be shown that they differ only by what a
build or a log left out of the stack:

- exact: build-ids and offsets are the same, and one of the two lacks symbols;
- inlined: the outer frames are the same to the line, and the inner function of one was inlined into them in the other;
- names: a log, which lacks inlined functions and native callers, or a program without debug information, which lacks
  inlined ones, has the rest of another stack; or the innermost function alone lacks its name.

Everything else that looks alike is a suggestion (cluster.py), for a person to decide.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from postmortem.triage import store as tables

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from sqlalchemy.engine import Connection

    from postmortem.model.triage import Crash, Step

_OFFSET = re.compile(r"\+0x[0-9a-f]+$")
MOST_LOST = 3
"""Inner functions that a stack may lack to be joined."""
_LEAST_LEFT = 2
"""Functions that must be left where lines don't prove it."""


@dataclass(slots=True)
class Group:
    """Signatures that are one bucket."""

    signatures: set[str]
    crashes: list[Crash] = field(default_factory=list)


def groups(crashes: Sequence[Crash]) -> list[Group]:
    """The crashes by bucket. The order of the crashes does not matter."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for crash in crashes:
        parent.setdefault(crash.signature.id, crash.signature.id)
    for one, other in _joined(crashes):
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    found: dict[str, Group] = {}
    for crash in crashes:
        group = found.setdefault(root(crash.signature.id), Group(set()))
        group.signatures.add(crash.signature.id)
        group.crashes.append(crash)
    return list(found.values())


def _joined(crashes: Sequence[Crash]) -> Iterable[tuple[str, str]]:
    yield from _by_exact(crashes)
    yield from _by_lost_frames(crashes)


def _by_exact(crashes: Sequence[Crash]) -> Iterable[tuple[str, str]]:
    by_exact: defaultdict[tuple[int, str], dict[str, bool]] = defaultdict(dict)
    for crash in crashes:
        if crash.signature.exact is not None:
            by_exact[crash.signature.version, crash.signature.exact][crash.signature.id] = (
                crash.signature.incomplete is not None
            )
    for ids in by_exact.values():
        whole = sorted(key for key, incomplete in ids.items() if not incomplete)
        for key in sorted(key for key, incomplete in ids.items() if incomplete):
            if whole:
                yield whole[0], key


def _by_lost_frames(crashes: Sequence[Crash]) -> Iterable[tuple[str, str]]:
    """A stack that begins where another one is after its inner functions."""
    rest: defaultdict[Hashable, set[str]] = defaultdict(set)
    for crash in crashes:
        for lost in range(1, min(MOST_LOST, len(crash.steps) - 1) + 1):
            for key in _keys(crash, crash.steps[lost:], names_only=True):
                rest[key].add(crash.signature.id)
        if len(crash.steps) > _LEAST_LEFT and not _unnamed(crash.steps[0]):
            rest[_below(crash)].add(crash.signature.id)
    for crash in crashes:
        if not crash.steps:
            continue
        # Without debug information, or in a log, inlined functions are missing.
        names_only = crash.kind == "log" or (crash.steps[0].file is None and not _unnamed(crash.steps[0]))
        keys = list(_keys(crash, crash.steps, names_only=names_only))
        if len(crash.steps) > _LEAST_LEFT and _unnamed(crash.steps[0]):
            keys.append(_below(crash))
        for key in keys:
            found = rest.get(key, set()) - {crash.signature.id}
            if len(found) == 1:  # of two it could be either
                yield crash.signature.id, next(iter(found))


def _keys(crash: Crash, steps: Sequence[Step], names_only: bool) -> Iterable[Hashable]:
    names = tuple(step.name for step in steps[:4])
    head = (crash.signature.version, crash.signature.cause)
    if steps[0].file is not None and steps[0].line:
        yield (*head, "inlined", steps[0].file, steps[0].line, names)
    if names_only and len(names) >= _LEAST_LEFT:
        yield (*head, "names", crash.program, names)


def _below(crash: Crash) -> Hashable:
    """The callers of the innermost function, for one of which the symbols are missing."""
    names = tuple(step.name for step in crash.steps[1:4])
    return (crash.signature.version, crash.signature.cause, "unnamed", crash.program, names)


def _unnamed(step: Step) -> bool:
    return _OFFSET.search(step.name) is not None


@dataclass(slots=True)
class Change:
    """What a run changed: ids of buckets that it made, that came back, and how many members each got."""

    new: list[str] = field(default_factory=list)
    regressed: list[str] = field(default_factory=list)
    grew: Counter[str] = field(default_factory=Counter)


def assign(connection: Connection, run: str) -> None:
    """Put every crash into its bucket, those of logs beside their core's aside. Repeatable.

    Groups are made over all crashes of the store, so that the order in which they came does not matter; a group that
    has a bucket keeps it, and what people merged stays merged.
    """
    _lock(connection)
    _pair(connection)
    crashes, placed = [], {}
    for crash, bucket, _ in tables.crashes_in(connection, sa.true()):
        crashes.append(crash)
        if bucket is not None:
            placed[crash.id] = bucket
    known = {row.key: row.bucket for row in connection.execute(sa.select(tables.keys))}
    states = {row.id: row for row in connection.execute(sa.select(tables.buckets))}
    for group in sorted(groups(crashes), key=lambda item: min(item.signatures)):
        pending = [crash for crash in group.crashes if crash.id not in placed]
        if not pending and group.signatures <= known.keys():
            continue
        candidates = Counter(known[key] for key in group.signatures if key in known)
        if candidates:
            bucket = min(candidates, key=lambda name: (-candidates[name], name))
        else:
            bucket = _founder(group)
            if bucket not in states:
                row = {"id": bucket, "run": run, "status": "known", **dict.fromkeys(_NOTHING)}
                tables.insert_unless_there(connection, tables.buckets, [row])
        fresh = [{"key": key, "bucket": bucket} for key in group.signatures if key not in known]
        if fresh:
            tables.insert_unless_there(connection, tables.keys, fresh)
            known |= {row["key"]: bucket for row in fresh}
        for target, members in _targets(pending, known).items():
            tables.set_bucket(connection, [crash.id for crash in members], target)
            state = states.get(target)
            if state is not None and state.status == "fixed" and any(_after(crash, state) for crash in members):
                values = {"status": "regressed", "regressed_run": run}
                connection.execute(tables.buckets.update().where(tables.buckets.c.id == target).values(values))


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


def _pair(connection: Connection) -> None:
    """A log whose process left a core in the same folder is that crash told twice."""
    core = tables.inputs.alias()
    beside = sa.exists().where(
        core.c.kind == "core", core.c.state == "analyzed", core.c.folder == tables.inputs.c.folder,
        core.c.pid == tables.inputs.c.pid,
    )  # fmt: skip
    connection.execute(
        tables.inputs.update()
        .where(tables.inputs.c.kind == "log", tables.inputs.c.state == "analyzed", beside)
        .values(state="paired", bucket=None, what="the log of a core beside it")
    )


def _founder(group: Group) -> str:
    """The signature that the bucket is named by: the one with most functions, of these the most frequent."""
    count = Counter(crash.signature.id for crash in group.crashes)
    best = min(
        group.crashes,
        key=lambda crash: (
            crash.signature.incomplete is not None, crash.kind == "log", -len(crash.signature.frames),
            -count[crash.signature.id], crash.signature.id,
        ),
    )  # fmt: skip
    return best.signature.id


def _targets(pending: Sequence[Crash], known: dict[str, str]) -> dict[str, list[Crash]]:
    found: defaultdict[str, list[Crash]] = defaultdict(list)
    for crash in pending:
        found[known[crash.signature.id]].append(crash)
    return found


def _after(crash: Crash, state: sa.Row[tuple[object, ...]]) -> bool:
    """Whether a crash is of the version that has the fix, or a later one; unknown versions go by time."""
    fixed, version = _numbers(state.fixed_in), _numbers(crash.version)
    if fixed and version:
        return version >= fixed
    if state.fixed_in and crash.version and state.fixed_in in crash.version:
        return True
    return crash.time is None or state.fixed_at is None or crash.time > state.fixed_at


def _numbers(version: str | None) -> tuple[int, ...]:
    """ "shop 1.24.3-2" is (1, 24, 3); () where a version is no row of numbers."""
    match = re.search(r"(?<![\w.])\d+(?:\.\d+)+|(?<=\s)\d+(?=-|$)|^\d+$", version or "")
    return tuple(int(part) for part in match[0].split(".")) if match else ()
