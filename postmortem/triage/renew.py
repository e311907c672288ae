"""Signatures that an earlier version made, made again of the stored reports, so that they can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from postmortem.model import from_json, to_json
from postmortem.signature.signature import VERSION, signature
from postmortem.triage import store as tables
from postmortem.triage.files import put
from postmortem.triage.record import crash_of
from postmortem.triage.work import UNUSABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from postmortem.model import Report
    from postmortem.model.triage import Crash

_BATCH = 100


def signed(stored: Path, report: Report, crash: Crash) -> Crash:
    """The record of a stored report with a new signature; the report is replaced."""
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


def renew(store: tables.Store, output: Path, say: Callable[[str], None]) -> None:
    """Make signatures of earlier versions again, of the reports that lie in the output folder."""
    found = store.transaction(lambda c: [crash for crash, _, _ in tables.crashes_in(c, sa.true())])
    old = [crash for crash in found if crash.signature.version != VERSION and (output / crash.report).is_file()]
    if not old:
        return
    say(f"{len(old)} signatures of an earlier version are made again")
    made: list[Crash] = []
    for crash in old:
        try:
            made.append(signed(output / crash.report, from_json((output / crash.report).read_bytes()), crash))
        except UNUSABLE as error:
            say(f"{crash.report}: can't be used: {error}")
    for start in range(0, len(made), _BATCH):
        keep(store, made[start : start + _BATCH])


def keep(store: tables.Store, judged: Sequence[Crash]) -> None:
    """Replace the records of crashes."""

    def work(connection: Connection) -> None:
        for crash in judged:
            values = {
                "signature": crash.signature.id, "exact": crash.signature.exact, "crash": msgspec.json.encode(crash)
            }  # fmt: skip
            connection.execute(tables.inputs.update().where(tables.inputs.c.id == crash.id).values(values))

    if judged:
        store.transaction(work)
