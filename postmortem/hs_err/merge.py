"""What a log adds to the report of its core. The core is the witness: a log fills gaps and never replaces a fact.

One gap is the crash itself: a core that was cut may hold no more than that the JVM aborted after its report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from postmortem.hs_err.host import host
from postmortem.hs_err.jvm import jvm
from postmortem.hs_err.report import from_log
from postmortem.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsers.hs_err import HsErrLog
    from postmortem.model import Jvm, Report


def merged(report: Report, told: HsErrLog, path: str) -> Report:
    """The report with the log's additions, and a problem for each fact in which the two differ.

    A log of another process is not used.
    """
    pid = told.header.pid
    if pid is not None and report.process.pid is not None and pid != report.process.pid and not _inner(report, told):
        what = f"it is the log of process {pid}, the core's is {report.process.pid}: it is not used"
        return msgspec.structs.replace(report, problems=(*report.problems, Problem(stage="log", where=path, what=what)))
    report = _with_crash(report, told, path)
    return msgspec.structs.replace(
        report,
        host=report.host or host(told),
        jvm=_filled(report.jvm, jvm(told)),
        problems=(*report.problems, *_differences(report, told, path)),
    )


def _with_crash(report: Report, told: HsErrLog, path: str) -> Report:
    """With the log's crash and its thread's stack, where the core has lost the stack that would lead to it."""
    if not _ended_by_reporter(report):
        return report
    logged = from_log(told, path, 0, "")
    crash = logged.crash
    witness = next((thread for thread in logged.threads if thread.crashed and thread.frames), None)
    if witness is None or crash.signal is None or crash.tid not in {thread.tid for thread in report.threads}:
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


def _ended_by_reporter(report: Report) -> bool:
    """The core tells of the abort with which a report of the JVM ends, and of nothing that led to it."""
    signal = report.crash.signal
    if signal is None or signal.name != "SIGABRT" or report.crash.unwrapped or not report.threads:
        return False
    return signal.sender_pid == report.process.pid and report.threads[0].ended not in ("bottom", "limit")


def _inner(report: Report, told: HsErrLog) -> bool:
    """In a pid namespace the JVM knows itself by another number; then its own error id tells."""
    return report.crash.pc is not None and report.crash.pc == told.header.pc and report.crash.pc > 0


def _filled(own: Jvm | None, other: Jvm) -> Jvm:
    """The core's facts, and the log's where the core has none."""
    if own is None:
        return other
    changes = {
        name: getattr(other, name)
        for name in own.__struct_fields__
        if getattr(own, name) in (None, (), {}) and getattr(other, name) not in (None, (), {})
    }
    return msgspec.structs.replace(own, **changes)


def _differences(report: Report, told: HsErrLog, path: str) -> Iterator[Problem]:
    jvm_version = None if report.jvm is None else report.jvm.version
    version = None if told.header.vm is None else told.header.vm.version
    pairs = (
        ("pc", report.crash.pc, told.header.pc),
        ("signal", None if report.crash.signal is None else report.crash.signal.name, told.header.signal_name),
        ("version", jvm_version, version),
        ("thread", report.crash.tid, None if told.thread.thread is None else told.thread.thread.id),
        ("fault address", report.crash.fault_address, _fault_address(told)),
    )
    for name, own, other in pairs:
        if own is not None and other is not None and own != other:
            said = f"the core says {_shown(own)}, the log {_shown(other)}; the core's is kept"
            yield Problem(stage="log", where=path, what=f"{name}: {said}")


def _fault_address(told: HsErrLog) -> int | None:
    """si_addr, where it is one: the kernel gives 0 with a general protection fault."""
    info = told.thread.siginfo
    return None if info is None or info.code_name == "SI_KERNEL" else info.address


def _shown(value: int | str) -> str:
    return hex(value) if isinstance(value, int) else value
