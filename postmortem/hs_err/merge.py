"""What a log adds to the report of its core. The core is the witness: a log fills gaps and never replaces a fact.

One gap is the crash itself: a core that was cut may hold no more than that the JVM aborted after its report.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from postmortem.hs_err.clock import moment, written
from postmortem.hs_err.crashing import with_crashing_thread
from postmortem.hs_err.host import host
from postmortem.hs_err.jvm import jvm
from postmortem.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsers.hs_err import HsErrLog
    from postmortem.model import Jvm, Report


_LIBJVM = re.compile(r"(?:^|/)libjvm\.so(?: \(deleted\))?$")
_MILLISECONDS = 13
_LONGEST_LIFE = 1e9
"""Seconds: some thirty years."""
_ZONES = timedelta(days=1)
"""Clocks of one machine differ by no more, whatever the time zone of each."""


def merged(report: Report, told: HsErrLog, path: str) -> Report:
    """The report with the log's additions, and a problem for each fact in which the two differ.

    A log of another process is not used.
    """
    pid = told.header.pid
    if pid is not None and report.process.pid is not None and pid != report.process.pid and not _inner(report, told):
        return _unused(report, path, f"it is the log of process {pid}, the core's is {report.process.pid}")
    why = another_life(report, told)
    if why is not None:
        return _unused(report, path, why)
    report = with_crashing_thread(report, told, path)
    date = written(told)
    if date is not None:
        dated = msgspec.structs.replace(report.crash, time=date, time_source="log")
        report = msgspec.structs.replace(report, crash=dated)
    return msgspec.structs.replace(
        report,
        host=report.host or host(told),
        jvm=_filled(report.jvm, jvm(told)),
        problems=(*report.problems, *_differences(report, told, path)),
    )


def _unused(report: Report, path: str, why: str) -> Report:
    problem = Problem(stage="log", where=path, what=f"{why}: it is not used", hint="give the right one with --hs-err")
    return msgspec.structs.replace(report, problems=(*report.problems, problem))


def another_life(report: Report, told: HsErrLog) -> str | None:
    """Why the log is of an earlier or later process with the same number, None where nothing says so.

    Where libjvm lay differs from process to process; so does the time at which the VM began. Only where neither is
    known do the dates count: the core's file is written when the process dies, unless it was copied.
    """
    own, logged = _libjvm(report), _libjvm_of(told)
    if own is not None and logged is not None:
        if own == logged:
            return None
        return (
            f"it is the log of another process: libjvm lay at {hex(logged)} there, and lies at {hex(own)} in the core"
        )
    if report.crash.pc is not None and report.crash.pc == told.header.pc:
        return None
    began, ended = _began(report), moment(told)
    if ended is None:
        return None
    if began is not None and told.summary.elapsed is not None:
        start = ended.replace(tzinfo=None) - timedelta(seconds=min(told.summary.elapsed, _LONGEST_LIFE))
        if abs(start - began) > _ZONES:
            return f"it is the log of another process, of a JVM that began at {start.isoformat(timespec='seconds')}"
        return None
    if report.crash.time is None:
        return None
    core = datetime.fromisoformat(report.crash.time).replace(tzinfo=None)
    if abs(core - ended.replace(tzinfo=None)) > _ZONES:
        dates = f"it is of {ended.isoformat()}, the core's file of {report.crash.time}"
        return f"{dates}, and nothing else says that they are of one crash"
    return None


def _libjvm(report: Report) -> int | None:
    return next((module.start for module in report.modules if _LIBJVM.search(module.path)), None)


def _libjvm_of(told: HsErrLog) -> int | None:
    """From the memory map, else from a frame that the log shows both ways."""
    found = min((row.start for row in told.libraries.mappings if row.path and _LIBJVM.search(row.path)), default=None)
    frame = told.header.problematic_frame
    if found is not None or frame is None or frame.module_offset is None or not told.header.pc:
        return found
    named = frame.module is not None and _LIBJVM.search(frame.module) is not None
    return told.header.pc - frame.module_offset if named else None


def _began(report: Report) -> datetime | None:
    """When the VM began, by its own counter (milliseconds since 1970), without a zone."""
    text = "" if report.jvm is None else report.jvm.counters.get("sun.rt.createVmBeginTime", "")
    if not text.isdecimal() or len(text) > _MILLISECONDS:
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC).replace(tzinfo=None)


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
