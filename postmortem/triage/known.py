"""Inputs that an earlier run has analyzed: where they lie now, and what this run's pattern says of their host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from postmortem.model import from_json, to_json
from postmortem.triage import store as tables
from postmortem.triage.files import put
from postmortem.triage.work import UNUSABLE, in_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.engine import Connection

    from postmortem.model.triage import Crash
    from postmortem.triage.inputs import Input


def update(store: tables.Store, output: Path, found: Mapping[str, Input], places: Collection[str]) -> None:
    """found: id → the known input as this run came upon it. places: of all inputs of this run."""

    def work(connection: Connection) -> list[tuple[Crash, Input]]:
        moved = []
        query = sa.select(tables.inputs.c.id, tables.inputs.c.crash).where(tables.inputs.c.crash.is_not(None))
        for row in connection.execute(query).all():
            item = found.get(row.id)
            if item is None:
                continue
            crash = tables.decoded(row.crash)
            now = crash
            if crash.path not in places and not _is_there(crash.path):
                now = msgspec.structs.replace(now, path=item.shown)
                moved.append((crash, item))
            if item.facts.get("attributed_by") == "path":
                now = msgspec.structs.replace(now, host=item.facts["host"], attributed_by="path")
            if now != crash:
                values = {"path": now.path, "folder": tables.folder(now.path), "crash": msgspec.json.encode(now)}
                connection.execute(tables.inputs.update().where(tables.inputs.c.id == row.id).values(values))
        return moved

    for crash, item in store.transaction(work) if found else ():
        _move(output / crash.report, item)


def _is_there(place: str) -> bool:
    """Also where a file lies in an archive that is there; of a URL nobody asks."""
    return "://" in place or Path(place).exists() or Path(place.partition("!")[0]).is_file()


def _move(stored: Path, item: Input) -> None:
    """A report names the file wherever it says how to look at it."""
    try:
        document = stored.read_bytes()
        before = from_json(document).core.path
    except (FileNotFoundError, *UNUSABLE):
        return  # the reports are in another folder
    there = Path(item.shown).absolute() == item.path.absolute()
    after = str(item.path.absolute()) if there else item.shown
    put(stored, to_json(from_json(document.replace(in_json(before), in_json(after)))))
