"""Line order: text shown newest first, lines run together, and several logs in one text."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from parsers.hs_err.text import anchors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.hs_err.text.anchors import Hit

Row = tuple[int, str]
"""Number of the line in the file, from 1, and its text."""

_TOGETHER = 3
_HEAD = "head"
_SUMMARY = "---------------  S U M M A R Y "
_ONCE = ("JRE version: ", "vm_info: ", _SUMMARY)
"""What a log has once, besides its head. The console's head and the log's own have the same JRE version."""
_WHO = re.compile(r"\bat pc=(0x[0-9a-fA-F]{1,16})|\bpid=(\d{1,12})|\btid=(\w{1,20})")
_ERROR = re.compile(r"\((?:\w[\w.]{0,60}:\d{1,6}|0x[0-9a-fA-F]{1,16})\)(?: at pc=0x[0-9a-fA-F]{1,16})?, ?pid=\d")
_AFTER_HEAD = 16
_BLANK_HASHES = re.compile(r"(?:[ \t]*#)+[ \t]*$")


def separated(rows: list[Row], found: Sequence[Hit]) -> tuple[list[Row], bool]:
    """Rows that hold several lines of a log each, split where such a line begins."""
    by_line: dict[int, list[Hit]] = {}
    for hit in found:
        by_line.setdefault(hit.line, []).append(hit)
    crowded = {line: hits for line, hits in by_line.items() if len({hit.rank for hit in hits}) >= _TOGETHER}
    if not crowded:
        return rows, False
    split: list[Row] = []
    for index, row in enumerate(rows):
        number, text = row
        if index not in crowded:
            split.append(row)
            continue
        at = 0
        for hit in crowded[index]:
            if hit.column > at:
                split.extend((number, part) for part in _hashed(text[at : hit.column]))
                at = hit.column
        split.extend((number, part) for part in _hashed(text[at:]))
    return split, True


def _hashed(text: str) -> list[str]:
    """A piece, once more split where a `#` begins a line of a head."""
    return re.split(r"(?<=\S)[ \t]+(?=#[ \t]+[^\s#])", _BLANK_HASHES.sub("", text))


def newest_first(found: Sequence[Hit]) -> bool:
    """Whether the lines stand in reverse: the log's order is the opposite one."""
    ranks = [hit.rank for hit in found]
    up = sum(one < other for one, other in pairwise(ranks))
    down = sum(one > other for one, other in pairwise(ranks))
    return down >= 2 and down > 2 * up


class Log(NamedTuple):
    """[start, end): rows of one log."""

    start: int
    end: int


def logs(lines: list[str]) -> list[Log]:
    """Where each log begins and ends: at its head, or where a section that a log has once comes again.

    The console shows the head of a log that may follow whole: two heads of one crash are one log.
    """
    found = anchors.hits(lines, (*anchors.HEADS, *_ONCE))
    starts = [0]
    seen: dict[str, str] = {}
    who: set[str] = set()
    for hit in found:
        text = lines[hit.line]
        if hit.word in anchors.HEADS:
            new = _identity(lines, hit.line)
            # The console's head of a failed allocation names no process.
            same = new == who if who else set(seen) <= {_HEAD}
            if seen and not same:
                starts.append(_back(lines, hit.line))
                seen = {}
            who = new
            seen[_HEAD] = ""
            continue
        if seen.get(hit.word, text) != text or (hit.word in seen and hit.word == _SUMMARY):
            starts.append(_back(lines, hit.line))
            seen, who = {}, set()
        seen[hit.word] = text
    ends = [*starts[1:], len(lines)]
    return [Log(start, end) for start, end in zip(starts, ends, strict=True) if start < end]


def telling(parts: list[Log], lines: list[str]) -> Log:
    """The first log with a head, else the first."""
    heads = {hit.line for hit in anchors.hits(lines, anchors.HEADS)} if len(parts) > 1 else set()
    whole = (part for part in parts if any(part.start <= line < part.end for line in heads))
    return next(whole, parts[0] if parts else Log(0, len(lines)))


def _identity(lines: list[str], start: int) -> set[str]:
    """pc, pid, tid of the line on the error below a log's head."""
    for text in lines[start : start + _AFTER_HEAD]:
        if " pid=" in text or ",pid=" in text:
            return {found[0].removeprefix("at ") for found in _WHO.finditer(text)}
    return set()


def _back(lines: list[str], at: int) -> int:
    """The first of the empty lines of the head above."""
    while at and lines[at - 1].strip() == "#":
        at -= 1
    return at
