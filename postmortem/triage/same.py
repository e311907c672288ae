"""Inputs that tell of a crash that another one tells of, too: copies of a core, and the log of a process with a core.

A core is known by its content, whatever it is compressed by. A log is that of a core where the pid is the same and the
folder, or where libjvm lay in the process.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import sqlalchemy as sa

from postmortem.triage import store as tables

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from sqlalchemy.engine import Connection

    from postmortem.model.triage import Crash

PAIRED = "paired"


def set_aside(connection: Connection) -> None:
    """Count one input of each crash. It is the same one in whatever order they came."""
    table = tables.inputs
    query = sa.select(table.c.crash, table.c.state, table.c.bucket, table.c.what)
    query = query.where(table.c.state.in_(("analyzed", PAIRED)))
    found = {}
    for row in connection.execute(query.order_by(table.c.id)):
        crash = tables.decoded(row.crash)
        found[crash.id] = (crash, row)
    aside = told_by_others([crash for crash, _ in found.values()])
    for name, (crash, row) in found.items():
        other = aside.get(name)
        what = None if other is None else _words(crash, other)
        state = "analyzed" if other is None else PAIRED
        if (state, what) == (row.state, row.what):
            continue
        if other is not None and row.bucket is not None and found[other.id][1].bucket is None:
            connection.execute(table.update().where(table.c.id == other.id).values(bucket=row.bucket))
        values = {"state": state, "what": what} | ({"bucket": None} if state != row.state else {})
        connection.execute(table.update().where(table.c.id == name).values(values))


def _words(crash: Crash, other: Crash) -> str:
    if crash.kind != "log":
        return f"has the same content as {other.path}"
    beside = tables.folder(other.path) == tables.folder(crash.path)
    return "the log of a core beside it" if beside else f"the log of {other.path}"


def told_by_others(crashes: Iterable[Crash]) -> dict[str, Crash]:
    """Id → the crash that tells of the same, for those that are not counted."""
    cores: defaultdict[Hashable, list[Crash]] = defaultdict(list)
    logs: list[Crash] = []
    for crash in crashes:
        if crash.kind == "log":
            logs.append(crash)
        else:
            cores[crash.content or crash.id].append(crash)
    aside: dict[str, Crash] = {}
    by_process: dict[Hashable, tuple[Crash, Crash]] = {}
    # A core that is not compressed is the one that counts: its id is that of its content.
    for copies in cores.values():
        first, *others = sorted(copies, key=lambda crash: (crash.content not in (None, crash.id), crash.id))
        aside |= {other.id: first for other in others}
        for core in copies:
            for key in _processes(core):
                by_process[key] = min(by_process.get(key, (first, core)), (first, core), key=lambda pair: pair[1].id)
    for log in logs:
        for key in _processes(log):
            if key not in by_process:
                continue
            first, core = by_process[key]
            # Where each container has its own pids, a folder may have the log of one and the core of another.
            if key == log.process or None in (core.process, log.process):
                aside[log.id] = first
                break
    return aside


def _processes(crash: Crash) -> Iterable[Hashable]:
    if crash.process is not None:
        yield crash.process
    if crash.pid is not None:
        yield tables.folder(crash.path), crash.pid
