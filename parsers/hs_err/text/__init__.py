"""Text as people have it, to the lines that HotSpot wrote.

A log is copied from a console, a ticket, a chat or a log store: with prefixes, quotes, markup, escapes, without its
`#`, newest line first, several in one. Each stage undoes one of these where the text shows it, and says so; a log as
HotSpot wrote it passes through unchanged.

    bytes → decode → markup → records → (lines run together) → writers → affixes → order → several logs → wrapped → `#`
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from parsers.hs_err.model import Line
from parsers.hs_err.text import affix, anchors, decode, hashes, markup, order, streams, wrapped
from parsers.limits import LIMITS

__all__ = ["Text", "normalised"]

_BEFORE = 1 << 14
"""Bytes kept before the first line that is a log's for certain: the VM's warnings stand there."""
_LEAST_OF_LINE = 40
"""Bytes that a line counts for at least: empty lines cost time, too."""
_NO_NUMBER = re.compile(r"[0-9]{80,}")
"""More digits than any number of a log has, signal masks of 64 bits included: read as a byte that is no text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """lines: of one log, numbered as in the file. changes: what was undone, in words. logs: the lines at which the
    file's logs begin, where there are several, that of this one first. others: lines that another writer put between.
    told: HotSpot's own words are there, so it is a log or part of one. cut: bytes of the file lie outside of what was
    read."""

    lines: tuple[Line, ...]
    changes: tuple[str, ...] = ()
    logs: tuple[int, ...] = ()
    others: int = 0
    told: bool = False
    cut: bool = False


def normalised(data: bytes) -> Text:
    """The log's lines in a text. Reads LIMITS.log_bytes of it, from a little before the first line of a log."""
    window, first_line, cut = _window(data)
    text, changes = decode.decoded(window)
    text = _NO_NUMBER.sub("\ufffd", text)
    text, more = markup.unmarked(text)
    changes += more
    indexed, more = markup.unrecorded(text.split("\n"))
    changes += more
    rows = [(index + first_line, line) for index, line in indexed]
    found = anchors.hits([line for _, line in rows])
    rows, split = order.separated(rows, found)
    if split:
        changes.append("lines run together")
        found = anchors.hits([line for _, line in rows])
    rows, others_told = streams.first_writer(rows, found)
    if others_told:
        changes.append(others_told)
        found = anchors.hits([line for _, line in rows])
    stripped, more = affix.stripped([line for _, line in rows], found)
    changes += more
    kept = [(row[0], line) for row, line in zip(rows, stripped, strict=True) if line is not None]
    others = len(rows) - len(kept)
    numbers, lines = [number for number, _ in kept], [line for _, line in kept]
    if order.newest_first(found):
        numbers.reverse()
        lines.reverse()
        changes.append("newest line first")
    parts = order.logs(lines)
    chosen = order.telling(parts, lines)
    starts = tuple(numbers[part.start] for part in (chosen, *(part for part in parts if part != chosen)))
    lines, numbers = lines[chosen.start : chosen.end], numbers[chosen.start : chosen.end]
    rows, broken = wrapped.joined(list(zip(numbers, lines, strict=True)))
    changes += broken
    numbers, (lines, lost) = [number for number, _ in rows], hashes.restored([line for _, line in rows])
    if lost:
        changes.append(f"the lost # of {lost} lines")
    return Text(
        lines=tuple(Line(number=number, text=line) for number, line in zip(numbers, lines, strict=True)),
        changes=tuple(changes),
        logs=starts if len(starts) > 1 else (),
        others=others,
        told=anchors.telling(found),
        cut=cut,
    )


def _window(data: bytes) -> tuple[bytes, int, bool]:
    """The bytes to read, the number of their first line, and whether others are left out."""
    limit, lines = LIMITS.log_bytes, LIMITS.log_bytes // _LEAST_OF_LINE
    if len(data) <= limit and data.count(b"\n") <= lines:
        return data, 1, False
    at = min((found for found in (data.find(word.encode()) for word in anchors.HEADS) if found >= 0), default=0)
    start = data.rfind(b"\n", 0, max(0, at - _BEFORE)) + 1 if at > _BEFORE else 0
    window = data[start : start + limit]
    if window.count(b"\n") > lines:
        window = b"\n".join(window.split(b"\n", lines)[:lines])
    return window, data.count(b"\n", 0, start) + 1, True
