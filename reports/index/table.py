"""Buckets as CSV, one a line."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from reports.index.timeline import stamp
from reports.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postmortem.model.triage import Bucket

COLUMNS = (
    "id", "status", "count", "grew", "severity", "rule", "cause", "signature", "title", "first_seen", "last_seen",
    "fixed_in", "ticket", "hosts", "versions", "programs", "period_seconds", "notes",
)  # fmt: skip


def rows(buckets: Iterable[Bucket]) -> list[dict[str, str | int | float | None]]:
    """A row a bucket, by column."""
    return [
        {
            "id": bucket.id, "status": bucket.status, "count": bucket.count, "grew": bucket.grew,
            "severity": bucket.severity, "rule": bucket.rule, "cause": bucket.cause, "signature": bucket.signature,
            "title": bucket.title, "first_seen": bucket.first_seen, "last_seen": bucket.last_seen,
            "fixed_in": bucket.fixed_in, "ticket": bucket.ticket, "hosts": len(bucket.hosts),
            "versions": len(bucket.versions), "programs": " ".join(bucket.programs),
            "period_seconds": bucket.periodicity.seconds if bucket.periodicity is not None else None,
            "notes": bucket.notes,
        }
        for bucket in buckets
    ]  # fmt: skip


def render(buckets: Iterable[Bucket]) -> str:
    """The table. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows(buckets):
        for name in ("first_seen", "last_seen"):
            at = row[name]
            row[name] = stamp(at) if isinstance(at, float) else ""
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return out.getvalue()


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    shown = visible(str(value), 1000)
    return f"'{shown}" if isinstance(value, str) and shown[:1] in ("=", "+", "-", "@") else shown
