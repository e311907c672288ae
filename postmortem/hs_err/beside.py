"""The log of the same crash: named by the user, or lying in the core's directory under HotSpot's own name."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import msgspec

from parsers.errors import ParseError
from parsers.foreign import identify
from parsers.limits import LIMITS
from postmortem.errors import AnalysisError
from postmortem.model import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from parsers.hs_err import HsErrLog
    from postmortem.model import Report


def with_log(report: Report, core: Path, named: Path | None) -> Report:
    """The report with what the log of the same crash adds: the one that was named, or of a JVM one beside the core.

    A log that can't be read, or is none, costs what it would have added and is a problem of the report.
    """
    path = named
    if path is None and (report.jvm is not None or any("libjvm.so" in module.path for module in report.modules)):
        path = find(core, report.process.pid)
    if path is None:
        return report
    from postmortem.hs_err.merge import merged  # and with it the parser of logs, which takes its time

    try:
        return merged(report, load(path), str(path))
    except AnalysisError as error:
        what = str(error).removeprefix(f"{path}: ")
        problem = Problem(stage="log", where=str(path), what=f"it is not used: it {what}", hint=error.hint)
        return msgspec.structs.replace(report, problems=(*report.problems, problem))


def load(path: Path) -> HsErrLog:
    """A log. Raises AnalysisError when it is none, or no regular file."""
    from parsers import hs_err

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise AnalysisError(
            f"{path}: can't be opened: {error.strerror}", "check the path and its permissions"
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AnalysisError(f"{path}: is not a regular file", "name the log itself")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(LIMITS.log_bytes)
    if not data:
        raise AnalysisError(f"{path}: is empty", "the disk was full, or the JVM died before it wrote the log")
    try:
        return hs_err.parse(data, excerpt=False)
    except ParseError as error:
        kind = None if data.startswith(b"\x7fELF") else identify(data)
        what = "is not a fatal error log of HotSpot" if kind is None else f"is {kind.what}"
        raise AnalysisError(f"{path}: {what}", "give the hs_err_pid*.log with --hs-err") from error


def find(core: Path, pid: int | None) -> Path | None:
    """hs_err_pid<PID>.log (-XX:ErrorFile's default) or hs_err.log beside the core, if it is a regular file."""
    for name in (f"hs_err_pid{pid}.log", "hs_err.log"):
        path = core.parent / name
        if path.is_file() and not path.is_symlink():
            return path
    return None
