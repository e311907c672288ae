"""index.html: the buckets of a triage on one page that asks nobody for anything and needs no script.

All text goes through Jinja's autoescape, and before that `visible` turns control characters into codes.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from reports import flamegraph, templates
from reports.html import page
from reports.index import timeline, words

if TYPE_CHECKING:
    import jinja2

    from postmortem.model.triage import Triage

BUCKETS = 400
"""Buckets told in full; triage.json has all."""
MEMBERS = 20
LISTED = 200


@functools.cache
def _read(name: str) -> str:
    own = files("reports.index") / "templates" / name
    return own.read_text(encoding="utf-8") if own.is_file() else page.read(name)


@functools.cache
def _environment() -> jinja2.Environment:
    return templates.environment(_read, words=words, stamp=timeline.stamp)


def render(triage: Triage) -> str:
    """The page."""
    times = [member.time for bucket in triage.buckets for member in bucket.members if member.time is not None]
    first, last = min(times, default=0.0), max(times, default=0.0)
    graph, note = flamegraph.svg_of_stacks(triage.stacks)
    shown = triage.buckets[:BUCKETS]
    lines = {
        bucket.id: Markup(timeline.svg([at for m in bucket.members if (at := m.time) is not None], first, last))
        for bucket in shown
    }
    places = {bucket.id for bucket in shown}
    return (
        _environment()
        .get_template("index.html")
        .render(
            triage=triage,
            buckets=shown,
            left=len(triage.buckets) - len(shown),
            lines=lines,
            places=places,
            first=first,
            last=last,
            graph=Markup(graph),
            graph_note=note,
            style=Markup(page.styles(["flame"]) + _read("index.css")),
            MEMBERS=MEMBERS,
            LISTED=LISTED,
        )
    )
