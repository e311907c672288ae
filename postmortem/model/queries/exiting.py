"""Was the process running its exit handlers: the destructors of static objects, and what atexit() was given?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.names import plain

if TYPE_CHECKING:
    from postmortem.model import Report

_HANDLERS = re.compile(r"__run_exit_handlers|__cxa_finalize|__funcs_on_exit|_dl_fini|call_fini")
_DESTRUCTOR = re.compile(r"(?:.*::)?~\w+")


def exiting(report: Report) -> str:
    """A sentence on it; "" where it was not."""
    frames = [frame for frame in views.crashing_frames(report) if frame.trust != "scan" and frame.function]
    at = next((i for i, frame in enumerate(frames) if _HANDLERS.fullmatch(plain(frame.function or ""))), None)
    if at is None:
        return ""
    destructors = [
        frame
        for frame in frames[:at]
        if _DESTRUCTOR.fullmatch(plain(frame.function or "")) and not culprit.installed_source(frame)
    ]
    if not destructors:
        return " The process was ending: its exit handlers ran (atexit, destructors of static objects)."
    outermost = destructors[-1]
    name = culprit.label(outermost)
    return (
        f" The process was ending: exit() runs the destructors of static objects, and {name} is on"
        " the stack. Static objects of other source files may have been destroyed before, in an order that is not"
        " defined."
    )
