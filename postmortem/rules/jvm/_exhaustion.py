"""What the JVM said it ran out of, for the rules on exhausted memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries.crash import crashing_frames, frame_path, size_text
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _state as jvm_views

if TYPE_CHECKING:
    from postmortem.model import Report

_OUT_OF_MEMORY = Lazy(r"OutOfMemory(?:Error)?(?: encountered)?:? ?(.*)", re.IGNORECASE | re.DOTALL)
RECENT = 60.0
"""Seconds before the crash from which an error that was thrown may have to do with it."""
HEAP = ("java heap space", "gc overhead limit exceeded")
ARRAY = ("requested array size exceeds vm limit",)
"""An array that no heap could hold: the program's error, whatever the heap's size."""
METASPACE = ("metaspace", "compressed class space")
DIRECT = ("direct buffer memory", "cannot reserve")
THREADS = ("unable to create native thread", "unable to create new native thread")
_REPORTS = ("report_java_out_of_memory", "report_vm_out_of_memory")


def said(report: Report) -> tuple[str, str] | None:
    """(path of the words, what was exhausted in the JVM's words) where an OutOfMemoryError ended the JVM."""
    error = jvm_views.error(report)
    native = report.native
    flag = jvm_views.flag(report, "CrashOnOutOfMemoryError")
    told = native.runtime == "HotSpot" and (flag is None or flag[1] == "true")
    texts = [("native.runtime_message", native.runtime_message if told else None)]
    if error is not None:
        texts = [("jvm.error.detail", error.detail), ("jvm.error.message", error.message)]
    for where, text in texts:
        match = _OUT_OF_MEMORY.search(text or "")
        if match:
            return where, match[1].strip()
    return None


def ran_out_of(report: Report, words: tuple[str, ...]) -> tuple[str, str] | None:
    """As `said`, when it was one of these."""
    found = said(report)
    return found if found is not None and found[1].lower().startswith(words) else None


def reporting_frame(report: Report) -> str:
    """The path of the VM's frame that reports an exhausted memory; "" when there is none."""
    for index, frame in enumerate(crashing_frames(report)[:60]):
        if frame.function is not None and frame.function.startswith(_REPORTS):
            return frame_path(report, index)
    return ""


def thrown(report: Report, words: tuple[str, ...]) -> str | None:
    """The path of the last OutOfMemoryError with such words in the VM's ring of exceptions, if it is a recent one."""
    if report.jvm is None:
        return None
    uptime = report.jvm.uptime
    for index, log in enumerate(report.jvm.events):
        if "xception" not in log.name:
            continue
        for number in range(len(log.events) - 1, -1, -1):
            text = log.events[number].text
            if "OutOfMemoryError" in text and any(word in text.lower() for word in words):
                time = log.events[number].time
                recent = uptime is None or time is None or uptime - time <= RECENT
                return f"jvm.events[{index}].events[{number}].text" if recent else None
    return None


def of_heap(text: str) -> bool:
    """An OutOfMemoryError's text says the Java heap, or leaves its kind out."""
    words = text.lower()
    others = (*METASPACE, *DIRECT, *THREADS, *ARRAY)
    return any(word in words for word in HEAP) or not any(word in words for word in others)


def share(part: int | None, whole: int | None) -> float | None:
    """part / whole; None when either is not known."""
    return part / whole if part is not None and whole else None


def amount(size: int | None) -> str:
    """A size in words."""
    return "an unknown amount" if size is None else size_text(size)
