"""All threads' stacks as one picture: an icicle graph in SVG, readable without scripts.

The root is on top, callees below their callers, a box is as wide as the threads that are in it. Boxes of
one function at one place are merged; repeated frames of a recursion are one box. Widths are true to scale;
boxes too narrow to see, and those beyond the limits, are counted in a note and not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from reports.text import plural, visible
from reports.words.stacks import CutRow, CycleRow, FrameRow, fold, function_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from postmortem.model import Thread

WIDTH = 1200
ROW = 18
LEVELS = 96
BOXES = 700
NARROWEST = 1.0
"""Pixels of WIDTH below which a box isn't drawn."""


@dataclass(slots=True)
class _Box:
    name: str
    kind: str
    threads: int = 0
    children: dict[tuple[str, str], _Box] = field(default_factory=dict)


def _names(thread: Thread) -> list[tuple[str, str]]:
    """(function, kind) from the thread's first function on; recursion as one entry with its count."""
    names: list[tuple[str, str]] = []
    for row in fold(thread.frames, thread.cycles, LEVELS):
        if isinstance(row, CycleRow):
            turns = f" (recursion × {row.count})"
            names += [(function_text(inner.frame) + turns, inner.frame.kind) for inner in row.rows[:8]]
        elif isinstance(row, CutRow):
            names.append((f"… {row.text}", "cut"))
        elif isinstance(row, FrameRow):
            names.append((function_text(row.frame), row.frame.kind))
    return names[::-1]


def _tree(threads: Sequence[Thread]) -> _Box:
    root = _Box("all threads", "root")
    for thread in threads:
        root.threads += 1
        box = root
        for key in _names(thread):
            if key not in box.children:
                box.children[key] = _Box(*key)
            box = box.children[key]
            box.threads += 1
    return root


def svg(threads: Sequence[Thread]) -> tuple[str, str]:
    """The graph as an <svg> element, and a note on what it leaves out ("" if nothing)."""
    with_frames = [thread for thread in threads if thread.frames]
    if not with_frames:
        return "", ""
    return _draw(_tree(with_frames), "thread")


def svg_of_stacks(counted: Mapping[str, int]) -> tuple[str, str]:
    """The same of stacks joined by ";", outermost function first, with how often each came."""
    root = _Box("all crashes", "root")
    for stack, count in counted.items():
        root.threads += count
        box = root
        for name in stack.split(";")[:LEVELS]:
            key = (name, "native")
            if key not in box.children:
                box.children[key] = _Box(*key)
            box = box.children[key]
            box.threads += count
    return _draw(root, "crash") if root.threads else ("", "")


def _draw(root: _Box, noun: str) -> tuple[str, str]:
    scale = WIDTH / root.threads
    placed: list[tuple[int, int, _Box]] = []  # level, first thread, box
    level: list[tuple[int, _Box]] = [(0, root)]
    depth = dropped = 0
    while level and depth <= LEVELS:
        following: list[tuple[int, _Box]] = []
        for start, box in level:
            if box.threads * scale < NARROWEST:
                dropped += 1
                continue
            placed.append((depth, start, box))
            at = start
            for child in sorted(box.children.values(), key=lambda child: (-child.threads, child.name)):
                following.append((at, child))
                at += child.threads
        level, depth = following, depth + 1
    dropped += len(level)
    if len(placed) > BOXES:
        # The wide ones tell most; of equal width those nearer to the root, so that none hangs in the air.
        placed.sort(key=lambda item: (-item[2].threads, item[0]))
        dropped += len(placed) - BOXES
        placed = placed[:BOXES]
    height = (max(level for level, _, _ in placed) + 1) * ROW
    parts = [
        f'<svg class="flame" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="Flame graph of {_of(root.threads, noun)}">'
    ]
    for depth, start, box in placed:
        x, width, y = start * scale, box.threads * scale, depth * ROW
        name = visible(box.name, 160)
        title = escape(f"{name}: {_of(box.threads, noun)}")
        parts.append(
            f'<g class="f-{_KINDS.get(box.kind, "u")}"><title>{title}</title>'
            f'<rect x="{x:.5g}" y="{y}" width="{max(0.5, width - 0.6):.5g}" height="{ROW - 1}"/>'
        )
        letters = int((width - 6) / 6.6)
        if letters >= 4:
            text = _short(name, letters)
            parts.append(f'<text x="{x + 3:.5g}" y="{y + 12.5}">{escape(text)}</text>')
        parts.append("</g>")
    parts.append("</svg>")
    note = f"{plural(dropped, 'narrow or deep box', 'narrow or deep boxes')} not drawn." if dropped else ""
    return "".join(parts), note


def _of(count: int, noun: str) -> str:
    return plural(count, noun, "crashes" if noun == "crash" else "")


_KINDS = {
    "root": "r",
    "native": "n",
    "java-interpreted": "i",
    "java-compiled": "c",
    "stub": "s",
    "signal": "s",
    "cut": "u",
    "unknown": "u",
}


def _short(name: str, letters: int) -> str:
    """The name within so many letters: what is most telling is at a Java name's end, else the beginning."""
    if len(name) <= letters:
        return name
    bare = name.partition("(")[0]
    tail = ".".join(bare.split(".")[-2:])
    if "::" not in bare and len(tail) < len(bare):
        name = tail if len(tail) <= letters else bare.rpartition(".")[2]
    return name if len(name) <= letters else name[: letters - 1] + "…"
