"""The log of the same crash: named by the user, or lying in the core's directory under HotSpot's own name."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from postmortem.errors import AnalysisError

if TYPE_CHECKING:
    from pathlib import Path

    from parsers.hs_err import HsErrLog
    from postmortem.model import Report


def load(path: Path) -> HsErrLog:
    """A log, of which at most 64 MiB are read. Raises AnalysisError when it is none, or no regular file."""
    from parsers import hs_err

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise AnalysisError(f"{path}: {error.strerror}", "check the path and its permissions") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AnalysisError(f"{path}: is not a regular file", "name the log itself")
        data = file.read(hs_err.MAX_BYTES)
    if not hs_err.looks_like(data):
        raise AnalysisError(f"{path}: is not a fatal error log of HotSpot", "it begins with a block of # lines")
    return hs_err.parse(data)


def find(core: Path, pid: int | None) -> Path | None:
    """hs_err_pid<PID>.log (-XX:ErrorFile's default) or hs_err.log beside the core, if it is a regular file."""
    for name in (f"hs_err_pid{pid}.log", "hs_err.log"):
        path = core.parent / name
        if path.is_file() and not path.is_symlink():
            return path
    return None


def with_log_beside(report: Report, core: Path, named: Path | None) -> Report:
    """The report with what the log of the same crash adds: the one that was named, else one beside the core."""
    log = named or find(core, report.process.pid)
    if log is None:
        return report
    from postmortem.hs_err.merge import merged

    return merged(report, load(log), str(log))
