"""Shared by the rules on abort texts: is this an abort, what did libc say, who called it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.rules import views

if TYPE_CHECKING:
    from postmortem.model import Report


def aborted(report: Report) -> bool:
    """The process ended itself with SIGABRT."""
    if not views.signal_is(report, views.SIGABRT):
        return False
    value = views.code(report)
    return value is None or value == views.SI_TKILL or own_signal(report)


def own_signal(report: Report) -> bool:
    """kill, tgkill or sigqueue by the process itself."""
    signal = report.crash.signal
    if signal is None or signal.code not in (views.SI_USER, views.SI_QUEUE, views.SI_TKILL):
        return False
    return signal.sender_pid is not None and signal.sender_pid == report.process.pid


def message(report: Report) -> str:
    """libc's text, without the line end; "" when there is none or the process did not abort."""
    if not aborted(report):
        return ""
    return (report.native.abort_message or "").strip()
