"""The signature of a crash: what two crashes of one defect have in common.

A cause tag, and the functions of the crashing stack that tell it apart: without the machinery of run-times,
without arguments and template arguments, recursion told once. A deadlock's signature is made of its cycle
instead, in an order that does not depend on the thread numbers.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from postmortem.model import Signature
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit, locks
from postmortem.model.queries.names import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from postmortem.model import Frame, Report, Thread

FRAMES = 8
"""Frames that tell crashes apart; deeper ones are mostly the way there."""
LONGEST_TEXT = 255
LONGEST_DETAIL = 80
"""Characters of a message in the tag: its beginning is what is common to its occurrences."""

_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\b\d+\b")


def signature(report: Report) -> Signature:
    """The signature of any report; one without a stack has its tag alone."""
    tag = cause_tag(report)
    cycles = locks.cycles(report) if tag.startswith("mutex-deadlock") else ()
    found = views.crashing_thread(report)
    if cycles:
        frames = _of_cycle(report, cycles[0])
    elif found is not None:
        frames = _of_thread(found[1])
    else:
        frames = ()
    digest = hashlib.sha1("\n".join((tag, *frames)).encode(), usedforsecurity=False)
    text = " | ".join((tag, *frames)) or "no stack"
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 1] + "…"
    return Signature(id=digest.hexdigest(), frames=frames, text=text)


def cause_tag(report: Report) -> str:
    """The verdict's rule with what is stable of its details, or the signal's name without a verdict.

    "null-dereference+0x40", "uncaught-cxx-exception:shop::PaymentError", "SIGSEGV".
    """
    if report.verdict is None:
        return report.crash.signal.name if report.crash.signal is not None else "no signal"
    rule = report.verdict.rule
    return rule + _detail(rule, report)


def _detail(rule: str, report: Report) -> str:
    address = views.fault_address(report)
    if rule == "null-dereference" and address is not None:
        return f"+{address:#x}"
    if rule == "uncaught-cxx-exception" and report.native.exceptions:
        return f":{report.native.exceptions[0].type}"
    if rule in ("heap-corruption", "assertion-failure"):
        message = (report.native.abort_message or report.native.assertion or "").strip()
        # The program's name before a message differs between installations.
        said = message.split(": Assertion ", 1)[-1].removeprefix("`").removesuffix("' failed.")
        return f":{_NUMBER.sub('N', said)[:LONGEST_DETAIL]}" if said else ""
    if rule == "seccomp-violation" and report.crash.signal is not None:
        return f":{report.crash.signal.syscall_name or report.crash.signal.syscall}"
    return ""


def _of_thread(thread: Thread) -> tuple[str, ...]:
    cycle = max(thread.cycles, key=lambda item: item.period * item.count, default=None)
    if cycle is not None and cycle.start <= FRAMES:
        names = _names(thread.frames[cycle.start : cycle.start + cycle.period])
        return _first_rotation(_collapsed(names)[:FRAMES])
    return _of_frames(thread.frames)


def _of_frames(frames: Sequence[Frame]) -> tuple[str, ...]:
    trusted = [frame for frame in frames if frame.trust != "scan"]
    kept = _names(frame for frame in trusted if not culprit.machinery(frame))
    return tuple(_collapsed(kept or _names(trusted))[:FRAMES])


def _names(frames: Iterable[Frame]) -> list[str]:
    return [name for frame in frames if (name := _name(frame)) is not None]


def _name(frame: Frame) -> str | None:
    """None for an address in no module: it differs from run to run."""
    if frame.function is not None:
        return frame.function if frame.kind.startswith("java") else plain(frame.function)
    if frame.module is None or frame.module_offset is None:
        return None
    return f"{PurePosixPath(frame.module.removesuffix(' (deleted)')).name}+{frame.module_offset:#x}"


def _collapsed(names: Sequence[str]) -> list[str]:
    """Without repetitions: a name, or a run of up to four, that follows itself is told once."""
    kept: list[str] = []
    for name in names:
        kept.append(name)
        for period in range(1, 5):
            if len(kept) >= 2 * period and kept[-period:] == kept[-2 * period : -period]:
                del kept[-period:]
                break
    return kept


def _first_rotation(names: Sequence[str]) -> tuple[str, ...]:
    """The cycle from a start that does not depend on where the stack ended."""
    rotations = (tuple(names[start:]) + tuple(names[:start]) for start in range(len(names)))
    return min(rotations, default=())


def _of_cycle(report: Report, cycle: Sequence[int]) -> tuple[str, ...]:
    stacks = sorted(_of_frames(report.threads[index].frames)[:2] for index in cycle)
    return tuple(name for stack in stacks for name in stack)[:FRAMES]
