"""Stacks in words: folded, shortened, one line a frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.text import base_name, number, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Cycle, Frame, Thread, Value


ENDED = {
    "bottom": "the thread's first function",
    "no-progress": "the next frame would not have been above this one",
    "unreadable": "the stack can't be read further",
    "no-rule": "no way to find the caller is known here",
    "limit": "the limit of frames was reached",
    "no-registers": "the thread's registers are not in the core",
}

TRUST = {
    "context": "from the thread's registers",
    "cfi": "by call frame information",
    "frame-pointer": "by the frame pointer",
    "hotspot": "by HotSpot's frame layout",
    "scan": "found by scanning the stack: may be stale",
}

KIND = {
    "native": "",
    "java-interpreted": "interpreted",
    "java-compiled": "compiled",
    "stub": "stub",
    "signal": "signal handler called",
    "unknown": "unknown code",
}


@dataclass(frozen=True, slots=True)
class FrameRow:
    """A frame to show. index: its place in the thread's frames. depth: that among all of the stack, which is more where
    turns of a recursion before it were left out."""

    index: int
    frame: Frame
    depth: int


@dataclass(frozen=True, slots=True)
class CycleRow:
    """A folded recursion: `rows` are one turn of it, `hidden` the frames of the other turns."""

    first: int
    last: int
    count: int
    rows: tuple[FrameRow, ...]
    hidden: int

    @property
    def text(self) -> str:
        what = plural(len(self.rows), "frame")
        return f"{what} repeated {number(self.count)} times (frames {self.first} to {self.last})"


@dataclass(frozen=True, slots=True)
class CutRow:
    """Frames left out of a long stack: [first, last]."""

    first: int
    last: int

    @property
    def text(self) -> str:
        return f"{plural(self.last - self.first + 1, 'frame')} not shown ({self.first} to {self.last})"


Row = FrameRow | CycleRow | CutRow


def _same(one: Frame, other: Frame) -> bool:
    return one.function == other.function if one.function else one.pc == other.pc


def _valid_cycles(frames: Sequence[Frame], cycles: Sequence[Cycle]) -> list[tuple[Cycle, int]]:
    """Cycles that lie in the frames and don't overlap, each with the frames that it covers there."""
    valid: list[tuple[Cycle, int]] = []
    free = 0
    for cycle in sorted(cycles, key=lambda cycle: cycle.start):
        start, period = cycle.start, cycle.period
        if start < free or period < 1 or cycle.count < 2 or start + period > len(frames):
            continue
        # The frames of all turns may be stored, or those of one turn alone.
        turn, following = frames[start : start + period], frames[start + period : start + 2 * period]
        stored = len(following) == period and all(map(_same, turn, following))
        covered = min(period * (cycle.count - cycle.left_out), len(frames) - start) if stored else period
        valid.append((cycle, covered))
        free = start + covered
    return valid


def fold(frames: Sequence[Frame], cycles: Sequence[Cycle] = (), limit: int = 200) -> tuple[Row, ...]:
    """Rows for a stack: recursion folded, and beyond `limit` rows the middle left out."""
    rows: list[Row] = []
    position = deeper = 0
    for cycle, covered in _valid_cycles(frames, cycles):
        rows += _rows(frames, position, cycle.start, deeper)
        shown = min(cycle.period, limit)
        first, whole = cycle.start + deeper, cycle.period * cycle.count
        turn = tuple(_rows(frames, cycle.start, cycle.start + shown, deeper))
        rows.append(CycleRow(first, first + whole - 1, cycle.count, turn, covered - shown))
        position = cycle.start + covered
        deeper += whole - covered
    rows += _rows(frames, position, len(frames), deeper)
    if len(rows) > limit:
        head = max(1, limit * 3 // 4)
        tail = max(0, limit - head)
        first = _last_of(rows[head - 1]) + 1
        after = _first_of(rows[len(rows) - tail]) if tail else len(frames) + deeper
        rows = [*rows[:head], CutRow(first, after - 1), *rows[len(rows) - tail :]]
    return tuple(rows)


def _rows(frames: Sequence[Frame], start: int, end: int, deeper: int) -> list[FrameRow]:
    return [FrameRow(index, frames[index], index + deeper) for index in range(start, end)]


def _first_of(row: Row) -> int:
    return row.depth if isinstance(row, FrameRow) else row.first


def _last_of(row: Row) -> int:
    return row.depth if isinstance(row, FrameRow) else row.last


_SYSTEM = re.compile(r"(libc|libpthread|ld-linux[\w-]*|libstdc\+\+|libgcc_s|linux-vdso|libjvm|libjli)[.-]")


def is_system(frame: Frame) -> bool:
    """Whether the frame is the C library's or the VM's, and may stand back behind the program's own."""
    return frame.module is not None and bool(_SYSTEM.match(base_name(frame.module)))


def function_text(frame: Frame) -> str:
    """The function, or where the code lies when it has no name."""
    if frame.function:
        return frame.function
    if frame.kind == "signal":
        return "<signal handler called>"
    if frame.module:
        offset = "" if frame.module_offset is None else f"+{frame.module_offset}"
        return f"{base_name(frame.module)}{offset}"
    return f"{frame.pc} (no module)" if frame.pc is not None else "a frame that is not known"


def source_text(frame: Frame, full: bool = False) -> str:
    """file:line, or "" when the line isn't known."""
    if not frame.file:
        return ""
    name = frame.file if full else base_name(frame.file)
    return name if frame.line is None else f"{name}:{frame.line}"


def brief_source(frame: Frame) -> str:
    """As `source_text`; of Java's Foo.java:12 in pkg.Foo.run only ":12", since the function says the rest."""
    text = source_text(frame)
    stem, java, line = text.partition(".java:")
    return f":{line}" if java and frame.function and f".{stem}." in f".{frame.function}" else text


def module_text(frame: Frame) -> str:
    """module+offset, or ""."""
    if not frame.module:
        return ""
    offset = "" if frame.module_offset is None else f"+{frame.module_offset}"
    return f"{base_name(frame.module)}{offset}"


def frame_details(frame: Frame) -> tuple[str, ...]:
    """Where a frame is, as far as it is known: ("libcart.so+0x1f30", "pc 0x…", "sp 0x…", "bci 7", its note)."""
    return (
        *((module_text(frame),) if frame.function and frame.module else ()),
        *(f"{name} {value}" for name in ("pc", "sp", "bci") if (value := getattr(frame, name)) is not None),
        *((frame.note,) if frame.note else ()),
    )


def frame_tags(frame: Frame) -> tuple[str, ...]:
    """How the frame runs and whether it can be believed: ("compiled, level 4", "inlined")."""
    tags = []
    kind = KIND.get(frame.kind, frame.kind)
    if kind and not (frame.kind == "signal" and not frame.function):
        level = f", level {frame.compile_level}" if frame.compile_level is not None else ""
        tags.append(kind + level)
    if frame.inlined:
        tags.append("inlined")
    if frame.trust == "scan":
        tags.append("scanned")
    return tuple(tags)


def value_text(value: Value) -> str:
    """ "order = 0x5581a0 → {id = 7, customer = 0x0}"."""
    held = f" → {value.points_to}" if value.points_to and not value.text.endswith(value.points_to) else ""
    return f"{value.name} = {value.text}{held}"


def value_lines(frame: Frame, most: int = 12) -> tuple[str, ...]:
    """A frame's arguments and locals, where it is not the C library's; what was optimized out on one line."""
    if is_system(frame):
        return ()
    lines = []
    for title, values in (("", frame.arguments), ("local ", frame.locals)):
        lines += [title + value_text(value) for value in values if not _optimized_out(value)]
    if len(lines) > most:
        lines = [*lines[:most], f"and {len(lines) - most} more"]
    gone = [value.name for value in (*frame.arguments, *frame.locals) if _optimized_out(value)]
    if gone:
        names = ", ".join(gone[:8]) + (f" and {len(gone) - 8} more" if len(gone) > 8 else "")
        lines.append(f"optimized out: {names}")
    return tuple(lines)


def source_lines(frame: Frame) -> tuple[str, ...]:
    """The source around a frame's line, which has a mark."""
    width = len(str(frame.source[-1].line)) if frame.source else 0
    return tuple(
        f"{'>' if line.line == frame.line else ' '} {line.line:>{width}}  {line.text.expandtabs(4)}"
        for line in frame.source
    )


def _optimized_out(value: Value) -> bool:
    return value.unavailable is not None and value.unavailable.startswith("optimized out")


def frame_line(row: FrameRow) -> str:
    """One frame as one line of text."""
    frame = row.frame
    parts = [f"#{row.depth:<3}", function_text(frame)]
    if source := source_text(frame):
        parts.append(f"at {source}")
    if frame.function and (module := module_text(frame)):
        parts.append(f"in {module}")
    if tags := frame_tags(frame):
        parts.append(f"[{', '.join(tags)}]")
    if frame.note:
        parts.append(f"({frame.note})")
    return " ".join(parts)


def stack_lines(rows: Sequence[Row]) -> list[str]:
    """A folded stack as lines of text."""
    lines = []
    for row in rows:
        if isinstance(row, CycleRow):
            lines.append(f"     ┌ {row.text}")
            lines += [f"     │ {frame_line(inner)}" for inner in row.rows]
            lines.append("     └")
        elif isinstance(row, CutRow):
            lines.append(f"     … {row.text}")
        else:
            lines.append(frame_line(row))
            lines += [f"       {text}" for text in (*value_lines(row.frame), *source_lines(row.frame))]
    return lines


def ended_text(thread: Thread) -> str:
    """Why the stack ends where it does; "" at the thread's first function."""
    if thread.ended == "bottom":
        return ""
    detail = f" ({thread.ended_detail})" if thread.ended_detail else ""
    return f"The stack ends here: {ENDED.get(thread.ended, thread.ended)}{detail}."
