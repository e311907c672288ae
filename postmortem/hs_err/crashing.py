"""The crashing thread of a core with what the log of the same crash has: its stack, or the names of its frames."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

from postmortem.hs_err.report import from_log
from postmortem.model import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from parsers.hs_err import HsErrLog
    from postmortem.model import Frame, Report, Thread

_OF_CODE = ("instruction", "instruction_bytes", "mnemonic", "access", "operands", "disassembly")
"""What a crash knows of the code at pc."""
_IN_COMMON = 4
"""Frames at the same offset of the same library that make two stacks one."""


def with_crashing_thread(report: Report, told: HsErrLog, path: str) -> Report:
    """The report with the log's crash and stack where the core has lost them, or the log's names of its frames."""
    logged = functools.cache(lambda: from_log(told, path, 0, ""))  # most reports need nothing of it
    for fill in (_with_crash, _with_frames, _with_names):
        report = fill(report, told.header.pc, path, logged)
    return report


def _crashed(report: Report) -> Thread | None:
    return next((thread for thread in report.threads if thread.crashed), None)


def _with_crash(report: Report, pc: int | None, path: str, logged: Callable[[], Report]) -> Report:
    """With the log's crash and its thread's stack, where the core has lost the stack that would lead to it."""
    if not _ended_by_reporter(report):
        return report
    crash, witness = logged().crash, _crashed(logged())
    if (
        witness is None
        or not witness.frames
        or crash.signal is None
        or crash.tid not in {thread.tid for thread in report.threads}
    ):
        return report
    own = next(thread for thread in report.threads if thread.tid == crash.tid)
    taken = msgspec.structs.replace(
        own,
        crashed=True,
        frames=witness.frames,
        handler_frames=own.frames,
        registers=witness.registers,
        java=own.java or witness.java,
        ended=witness.ended,
        ended_detail=witness.ended_detail,
    )
    others = tuple(
        msgspec.structs.replace(thread, crashed=False) for thread in report.threads if thread.tid != crash.tid
    )
    crash = msgspec.structs.replace(crash, unwrapped=True, handler_signal=report.crash.signal)
    what = "the core has lost the stack of the crashing thread; the crash and its stack are the log's"
    problem = Problem(stage="log", where=path, what=what)
    return msgspec.structs.replace(report, crash=crash, threads=(taken, *others), problems=(*report.problems, problem))


def _with_frames(report: Report, pc: int | None, path: str, logged: Callable[[], Report]) -> Report:
    """With the log's stack and instruction, where the core has the crash but not the VM's tables to name its frames.

    pc: the log's.
    """
    own = _crashed(report)
    if report.jvm is not None or own is None or pc is None or pc != report.crash.pc or not report.crash.unwrapped:
        return report
    witness = _crashed(logged())
    if witness is None or witness.tid != own.tid or not any(frame.kind.startswith("java") for frame in witness.frames):
        return report
    taken = msgspec.structs.replace(
        own,
        frames=witness.frames,
        java=own.java or witness.java,
        ended=witness.ended,
        ended_detail=witness.ended_detail,
    )
    crash = msgspec.structs.replace(
        report.crash,
        **{name: getattr(logged().crash, name) for name in _OF_CODE if getattr(report.crash, name) in (None, (), {})},
    )
    threads = tuple(taken if thread is own else thread for thread in report.threads)
    what = "the VM's tables can't be read from the core; the frames of the crashing thread are the log's"
    problem = Problem(stage="log", where=path, what=what)
    return msgspec.structs.replace(report, crash=crash, threads=threads, problems=(*report.problems, problem))


def _with_names(report: Report, pc: int | None, path: str, logged: Callable[[], Report]) -> Report:
    """With the log's names of the thread and of its frames' functions, where nothing else names them.

    The same pc in both is the same fault: that of one thread, whatever number each has for it. Where the VM stopped
    itself the log's pc is its own and the core's that of raise(): then frames in common tell.
    """
    own = _crashed(report)
    if own is None or not any(map(_lacks_name, own.frames)) or (witness := _crashed(logged())) is None:
        return report
    places = {_place(frame): frame for frame in witness.frames if frame.module_offset is not None}
    in_common = sum(_place(frame) in places for frame in own.frames if not frame.inlined)
    if in_common < _IN_COMMON and (pc is None or pc != report.crash.pc):
        return report
    frames = tuple(_named(frame, places) for frame in own.frames)
    count = sum(old is not new for old, new in zip(own.frames, frames, strict=True))
    taken = msgspec.structs.replace(own, name=own.name or witness.name, frames=frames, java=own.java or witness.java)
    if taken == own:
        return report
    threads = tuple(taken if thread is own else thread for thread in report.threads)
    what = f"the name of the crashing thread and those of {count} of its frames are the log's"
    problem = Problem(stage="log", where=path, what=what)
    return msgspec.structs.replace(report, threads=threads, problems=(*report.problems, problem))


def _lacks_name(frame: Frame) -> bool:
    return frame.function is None and frame.module_offset is not None


def _named(frame: Frame, places: dict[tuple[str, int], Frame]) -> Frame:
    known = places.get(_place(frame)) if _lacks_name(frame) else None
    if known is None or known.function is None:
        return frame
    return msgspec.structs.replace(frame, function=known.function, file=known.file, line=known.line)


def _place(frame: Frame) -> tuple[str, int]:
    return (frame.module or "").rpartition("/")[2], frame.module_offset or 0


def _ended_by_reporter(report: Report) -> bool:
    """The core tells of the abort with which a report of the JVM ends, and of nothing that led to it."""
    signal = report.crash.signal
    if signal is None or signal.name != "SIGABRT" or report.crash.unwrapped or not report.threads:
        return False
    return signal.sender_pid == report.process.pid and report.threads[0].ended not in ("bottom", "limit")
