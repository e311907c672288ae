"""The output folder: index.html, triage.json, digest.md, buckets.csv, and the best report of each bucket as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from postmortem.errors import AnalysisError
from postmortem.guard.analysis import warm
from postmortem.model.triage import triage_json
from postmortem.triage.files import put
from postmortem.triage.work import rehearse
from reports import FORMATS, load
from reports.index import digest, page, table

if TYPE_CHECKING:
    from pathlib import Path

    from postmortem.model.triage import Bucket, Triage


def write(triage: Triage, output: Path) -> None:
    """Raises OSError when the folder can't be written."""
    # What each worker would import and compile for itself.
    warm()
    load("html")
    FORMATS["html"](rehearse())
    buckets = tuple(_with_report(bucket, output) for bucket in triage.buckets)
    triage = msgspec.structs.replace(triage, buckets=buckets)
    put(output / "triage.json", triage_json(triage))
    put(output / "index.html", page.render(triage).encode("utf-8", "backslashreplace"))
    put(output / "digest.md", digest.render(triage).encode("utf-8", "backslashreplace"))
    put(output / "buckets.csv", table.render(triage.buckets).encode("utf-8", "backslashreplace"))


def _with_report(bucket: Bucket, output: Path) -> Bucket:
    """The bucket with its best report rendered, unless that was done before."""
    if bucket.best is None:
        return bucket
    target = output / bucket.best.path
    source = target.with_suffix(".json")
    try:
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            from postmortem.guard.rendering import Request, render

            put(target, render(Request(stored=source, form="html")))
    except (AnalysisError, FileNotFoundError):
        return msgspec.structs.replace(bucket, best=None)
    return bucket
