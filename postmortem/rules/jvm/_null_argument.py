"""A NULL that a native library handed to a function of JNI: most often what a lookup before it returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import _threads as jvm_threads

if TYPE_CHECKING:
    from postmortem.model import Report

_BEHIND = 0x200
"""Bytes from 0 up to which a member of an object, a class or a method may lie behind a null pointer."""
_LOOKUPS = Lazy(r"java\.lang\.(?:NoSuch(?:Method|Field)Error|NoClassDefFoundError|ClassNotFoundException).*")
_CALLS = Lazy(r"(?:Call\w*Method|NewObject)[AV]?")
_MEMBERS = Lazy(r"Get(?:Static)?(?:Method|Field)ID|\w*Static\w*|AllocObject|RegisterNatives|IsInstanceOf")


class Null(NamedTuple):
    """title: its ending. sentence. evidence: the path of the pending exception, "" without one."""

    title: str
    sentence: str
    evidence: str
    remedy: str


def found(report: Report, function: str | None) -> Null | None:
    """function: of JNI, with or without its prefix; None where it is not known."""
    address = views.fault_address(report)
    if address is None or address >= _BEHIND or not jvm_views.memory_fault(report):
        return None
    name = (function or "").removeprefix("checked_").removeprefix("jni_")
    what = "an object, a class or an ID that a lookup returned as NULL"
    if _CALLS.fullmatch(name):
        what = "most often the jmethodID, which GetMethodID returns as NULL where it finds none, or the object or class"
    elif _MEMBERS.fullmatch(name):
        what = "most often the class, which FindClass returns as NULL where it finds none"
    sentence = f"So low an address is that of a NULL argument: {what}."
    thread = views.crashing_thread(report)
    pending = thread[1].java.pending_exception if thread is not None and thread[1].java is not None else None
    title = ": a NULL argument"
    path = ""
    if pending is not None:
        path = jvm_threads.thread_path(report, "java.pending_exception")
        kind = pending.partition(":")[0]
        failed = ", which a lookup throws that fails" if _LOOKUPS.fullmatch(kind) else ""
        sentence += f" The thread made that call with an exception pending, {pending!r}{failed}: nobody had checked."
        title += f", with {kind} pending"
    return Null(
        title,
        sentence,
        path,
        "Check for NULL, or ExceptionCheck(), after each FindClass, GetMethodID, GetFieldID and call of Java, before"
        f" the next call of JNI{f'; here {pending!r} is pending' if pending is not None else ''}.",
    )
