"""Threads in words: names, states, what they wait for, groups of equal stacks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.text import number, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Frame, Report, Thread

from postmortem.model.queries.crash import is_snapshot, was_sent
from reports.words.stacks import (
    CutRow,
    CycleRow,
    FrameRow,
    Row,
    fold,
    function_text,
    is_system,
    stack_lines,
)


@dataclass(frozen=True, slots=True)
class Group:
    """Threads with the same stack, state and wait; `indices` are their places in the report."""

    indices: tuple[int, ...]
    threads: tuple[Thread, ...]
    rows: tuple[Row, ...]
    state: str
    wait: str

    @property
    def crashed(self) -> bool:
        return any(thread.crashed for thread in self.threads)


def thread_name(thread: Thread) -> str:
    """The Java name, else the kernel's, else the thread id."""
    if thread.java is not None and thread.java.name:
        return thread.java.name
    return thread.name or _numbered(thread)


def _numbered(thread: Thread) -> str:
    return "a thread whose number is not known" if thread.tid is None else f"thread {thread.tid}"


def thread_title(thread: Thread) -> str:
    """ "worker-1, thread 4712", or "thread 4712" without a name; with the virtual thread that it carries."""
    name = thread_name(thread)
    number_only = _numbered(thread)
    title = number_only if name == number_only else f"{name}, {number_only}"
    carried = virtual_text(thread)
    return f"{title}, {carried}" if carried else title


def virtual_text(thread: Thread) -> str:
    """ "carrying virtual thread #31 order-7", or nothing."""
    if thread.java is None or thread.java.virtual_tid is None:
        return ""
    name = f" {thread.java.virtual_name}" if thread.java.virtual_name else ""
    return f"carrying virtual thread #{thread.java.virtual_tid}{name}"


TOOK, CRASHED = "took the signal", "crashed"


def first_state(report: Report) -> str:
    """The state of the thread that is shown first; "" in a snapshot, where it is one as the others are."""
    return "" if is_snapshot(report) else TOOK if was_sent(report) else CRASHED


def thread_state(thread: Thread, first: str = CRASHED) -> str:
    """The Java state, else what the thread does as far as the core tells. first: `first_state`."""
    if thread.crashed and first:
        return first
    if thread.java is not None and (thread.java.state or thread.java.thread_state):
        return thread.java.state or thread.java.thread_state or ""
    if thread.wait is not None:
        return "blocked in a system call" if thread.wait.kind == "syscall" else "waiting"
    return "unknown" if thread.ended == "no-registers" else "running"


def wait_text(thread: Thread) -> str:
    """What the thread waits for: "mutex 0x… held by thread 12"."""
    parts = []
    if (wait := thread.wait) is not None and wait.kind == "join" and wait.owner is not None:
        parts.append(f"end of thread {wait.owner}")
    elif wait is not None:
        what = wait.syscall if wait.kind == "syscall" else wait.kind
        where = "" if wait.address is None or wait.kind == "syscall" else f" {wait.address}"
        owner = ""
        if wait.owner is not None:
            gone = " (not in the core)" if wait.owner_in_core is False else ""
            owner = f" held by thread {wait.owner}{gone}"
        parts.append(f"{what}{where}{owner}")
    if (java := thread.java) is not None and java.blocked_on:
        held = f" held by “{java.blocked_by}”" if java.blocked_by else ""
        parts.append(f"{java.blocked_on}{held}")
    return ", ".join(parts)


def _wait_kind(thread: Thread) -> str:
    return "" if thread.wait is None else f"{thread.wait.kind}:{thread.wait.syscall}"


def _place(row: Row) -> tuple[object, ...]:
    if isinstance(row, CycleRow):
        return (row.count, *(_place(inner) for inner in row.rows))
    if isinstance(row, CutRow):
        return (row.first, row.last)
    frame = row.frame
    where = frame.line if frame.function else (frame.module_offset if frame.module else frame.pc)
    return (frame.function, frame.module, frame.file, where, frame.inlined, frame.kind)


def _owner(thread: Thread) -> tuple[object, ...]:
    """Who holds what a thread waits for: threads of a deadlock wait for different ones in the same place."""
    wait, java = thread.wait, thread.java
    return (wait.owner if wait is not None else None, java.blocked_by if java is not None else None)


def _group_wait(members: Sequence[Thread]) -> str:
    """What all of them wait for: with the address and the holder where these are the same."""
    texts = {wait_text(member) for member in members}
    if len(texts) == 1:
        return texts.pop()
    kinds = {text.partition(" ")[0] for text in texts if text}
    return f"{kinds.pop()}, each another" if len(kinds) == 1 else ""


def group_threads(threads: Sequence[Thread], limit: int = 200, first: str = CRASHED) -> tuple[Group, ...]:
    """Threads grouped by stack, state, wait and holder: the crashing one first, then the report's order."""
    groups: dict[tuple[object, ...], tuple[list[int], list[Thread], tuple[Row, ...]]] = {}
    for index, thread in enumerate(threads):
        rows = fold(thread.frames, thread.cycles, limit)
        key: tuple[object, ...] = (
            thread_state(thread), _wait_kind(thread), *_owner(thread), thread.ended, *map(_place, rows)
        )  # fmt: skip
        if thread.crashed:
            key = ("crashed", thread.tid, index)
        indices, members, _ = groups.setdefault(key, ([], [], rows))
        indices.append(index)
        members.append(thread)
    made = [
        Group(tuple(indices), tuple(members), rows, thread_state(members[0], first), _group_wait(members))
        for indices, members, rows in groups.values()
    ]
    return tuple(sorted(made, key=lambda group: not group.crashed))


def telling_function(group: Group) -> str:
    """The first function of the stack that is the program's own, else the first; "" without frames."""
    frames = [row.frame for row in group.rows if isinstance(row, FrameRow)]
    own = next((frame for frame in frames if frame.function and not is_system(frame)), None)
    chosen = own or (frames[0] if frames else None)
    return "" if chosen is None else function_text(chosen)


def group_title(group: Group, names: int = 3) -> str:
    """ "GC Thread#0, GC Thread#1 and 6 more"."""
    shown = [thread_name(thread) for thread in group.threads[:names]]
    rest = len(group.threads) - len(shown)
    if rest == 1:
        shown, rest = shown[:-1], 2
    return ", ".join(shown) + (f" and {number(rest)} more" if rest else "")


def stack_heading(report: Report) -> str:
    """What the stack shown first is."""
    if is_snapshot(report):
        return "Stack of the first thread"
    return "Stack of the thread that took the signal" if was_sent(report) else "Crashing stack"


def telling_groups(report: Report) -> list[Group]:
    """Groups of other threads: those that the verdict is about, and where the thread shown first tells no more than
    they do, those in the program's own code, else all: the waiting first, then by size."""
    groups = [group for group in group_threads(report.threads, 40) if not group.crashed]
    named = _named_by_verdict(report)
    about = [group for group in groups if not named.isdisjoint(group.indices)]
    if not was_sent(report) and not is_snapshot(report):
        return about
    rest = [group for group in groups if named.isdisjoint(group.indices)]
    own = [group for group in rest if any(_is_programs(row.frame) for row in _shown(group))]
    return about + sorted(own or ([] if about else rest), key=lambda group: (not group.wait, -len(group.threads)))


def _named_by_verdict(report: Report) -> frozenset[int]:
    """Indices of the threads that the evidence of the verdict's finding lies in."""
    found = next((item for item in report.findings if report.verdict and item.rule == report.verdict.rule), None)
    paths = () if found is None else (_OF_THREAD.match(item.where) for item in found.evidence)
    return frozenset(int(match[1]) for match in paths if match is not None)


def telling_rows(group: Group) -> tuple[Row, ...]:
    """The stack from its first Java frame to its last, or the whole of it: what lies around is the same everywhere."""
    java = [number for number, row in enumerate(group.rows) if _is_java(row)]
    return group.rows[java[0] : java[-1] + 1] if java else group.rows


def brief_lines(group: Group, most: int) -> list[str]:
    """The telling rows as at most `most` lines and a mark for what is left out; from near the program's own code on."""
    rows = telling_rows(group)
    own = next((at for at, row in enumerate(rows) if isinstance(row, FrameRow) and _is_programs(row.frame)), 0)
    first = own - _BEFORE_OWN if own >= most - _BEFORE_OWN else 0
    lines = stack_lines(rows[first:])
    if rows and first:
        lines.insert(0, f"… {plural(first, 'inner frame')} not shown")
    if len(lines) > most:
        lines[most:] = [f"… {plural(len(lines) - most, 'more line')}"]
    return lines


def _is_java(row: Row) -> bool:
    return isinstance(row, FrameRow) and row.frame.kind.startswith("java")


def _shown(group: Group) -> list[FrameRow]:
    return [row for row in group.rows if isinstance(row, FrameRow)]


_OF_THREAD = re.compile(r"threads\[(\d{1,7})\]")
_BEFORE_OWN = 3
"""Frames of the system that are kept inside of the first one of the program's."""
_JDK = ("java.", "javax.", "jdk.", "sun.", "com.sun.")


def _is_programs(frame: Frame) -> bool:
    if frame.kind.startswith("java"):
        return not (frame.function or "java.").startswith(_JDK)
    return frame.kind == "native" and frame.function is not None and not is_system(frame)
