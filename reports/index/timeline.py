"""The times of a bucket as a picture: a bar chart in SVG, readable without scripts."""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING

from reports.text import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

BARS = 60
WIDTH, HEIGHT = 360, 36


def svg(times: Sequence[float], first: float, last: float) -> str:
    """Crashes over time from `first` to `last`, seconds since 1970; "" when there is no time to show."""
    if not times:
        return ""
    span = max(last - first, 1.0)
    counts = [0] * BARS
    for at in times:
        counts[min(BARS - 1, max(0, int((at - first) / span * BARS)))] += 1
    most = max(counts)
    label = f"{plural(len(times), 'crash', 'crashes')} from {stamp(min(times))} to {stamp(max(times))}"
    step = WIDTH / BARS
    parts = [f'<svg class="timeline" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    for index, count in enumerate(counts):
        if count:
            height = max(2.0, count / most * (HEIGHT - 2))
            since = stamp(first + index * span / BARS)
            parts.append(
                f'<rect x="{index * step:.5g}" y="{HEIGHT - height:.4g}" width="{step - 1:.4g}" height="{height:.4g}">'
                f"<title>{count} from {since}</title></rect>"
            )
    parts.append("</svg>")
    return "".join(parts)


def stamp(at: float | None) -> str:
    """A time in words, UTC."""
    if at is None:
        return "not known"
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) + " UTC"
    except (ValueError, OverflowError, OSError):
        return "not known"
