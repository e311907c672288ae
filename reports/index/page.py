"""index.html: the buckets of a triage on one page that asks nobody for anything and needs no script.

All text goes through Jinja's autoescape, and before that `visible` turns control characters into codes.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from reports import flamegraph, text
from reports.index import timeline, words
from reports.text import visible

if TYPE_CHECKING:
    from postmortem.model.triage import Triage

BUCKETS = 400
"""Buckets told in full; triage.json has all."""
MEMBERS = 20
LISTED = 200

_PLACES = (files("reports.index") / "templates", files("reports.html") / "templates")


@functools.cache
def _read(name: str) -> str:
    place = _PLACES[0] / name
    return (place if place.is_file() else _PLACES[1] / name).read_text(encoding="utf-8")


def _finalize(value: Any) -> Any:
    if value is None:
        raise TypeError("a template shows a value that may be absent without saying what then")
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(short=lambda value, longest=240: visible(value, longest), number=text.number)
    environment.globals.update(words=words, stamp=timeline.stamp, plural=text.plural, base_name=text.base_name)
    return environment


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
            style=Markup(_read("report.css") + _read("index.css")),
            MEMBERS=MEMBERS,
            LISTED=LISTED,
        )
    )
