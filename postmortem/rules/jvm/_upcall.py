"""Callbacks from native code that java.lang.foreign called: upcall stubs that were freed with their arena.

Source: HotSpot share/prims/upcallLinker.cpp and UpcallStubs.java: closing the arena that owns a stub frees its blob;
the block of the code cache is reused for whatever comes next, and the stub's receiver, a JNI handle, is deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _entry as jvm_entry
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views

if TYPE_CHECKING:
    from postmortem.model import Frame

_LINKING = 6
"""Frames of method handles between the stub of the downcall and the code that made it, which have its arguments."""
_STUB = "upcall_stub"
REMEDY = (
    "Look for upcall stubs (Linker.upcallStub) that native code may call after their arena is closed: give them"
    " Arena.global(), or take the pointer back first."
)


class Callback(NamedTuple):
    """The native function that called, the stub of the downcall, and the argument that leads to freed code.

    argument: (the frame's index, its own, its value), None where no argument is known to.
    """

    caller: tuple[int, Frame]
    downcall: int
    argument: tuple[int, int, int] | None


def callback(report: Report) -> Callback | None:
    """A fault behind a call that native code made while a downcall ran: in a stub, or where there is no code."""
    above = jvm_frames.site(report).native
    downcall = next((index for index, frame in above if jvm_frames.is_downcall(frame)), None)
    if downcall is None or not above or not jvm_views.memory_fault(report):
        return None
    inner = above[0][1]
    if inner.kind != "stub" and not views.pc_is_fault(report):
        return None
    called = [item for item in above if item[0] < downcall and item[1].kind != "stub" and item[1].module is not None]
    if not called or called[0][1].trust == "scan" or any(jvm_frames.is_vm(frame) for _, frame in called):
        return None
    return Callback(called[0], downcall, _argument(report, downcall))


def _argument(report: Report, downcall: int) -> tuple[int, int, int] | None:
    """The argument of the downcall that leads to a place of the code cache where no upcall stub is."""
    for index, frame in enumerate(views.crashing_frames(report)[downcall + 1 : downcall + 1 + _LINKING], downcall + 1):
        if not jvm_frames.is_java(frame):
            return None
        for number, value in enumerate(frame.arguments):
            leads = value.points_to if value.type == "long" else None
            if leads is not None and not leads.startswith(_STUB) and (value.value or "").isdecimal():
                return index, number, int(value.value or "0")
    return None


def function(report: Report, found: Callback) -> str:
    """The native function that called: "qsort_r() of libc.so.6"."""
    index, frame = found.caller
    library = file_name(frame.module or "")
    for item in views.crashing_frames(report)[index : found.downcall]:
        if item.module == frame.module and item.function is not None and item.trust != "scan":
            return f"{plain(item.function)}() of {library}"
    return culprit.label(frame)


def freed(report: Report, found: Callback, rule: str) -> Finding | None:
    """Where an argument of the downcall was the address of a stub that is no more."""
    if found.argument is None:
        return None
    at, number, address = found.argument
    value = views.crashing_frames(report)[at].arguments[number]
    java = jvm_entry.linked(report)
    by = f", which {culprit.label(java[1])} had called" if java is not None else ""
    made = f" that {culprit.label(java[1])} made" if java is not None else ""
    name = jvm_views.fault_name(report)
    who = function(report, found)
    thread = views.crashing_thread(report)
    where = "" if thread is None else f"threads[{thread[0]}].frames[{at}].arguments[{number}]"
    reused = "" if value.points_to and "unused" in value.points_to else ", reused since"
    return Finding(
        rule=rule,
        title=f"{name} after a call of an upcall stub that was freed, by {who}{by}",
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"{who} called back during a downcall of java.lang.foreign{made}, which had handed {address:#x} to it,"
            f" an address in the code cache where no upcall stub is ({value.points_to}{reused}): the stub was freed as"
            f" its arena was closed, and what the call led to is {name}."
        ),
        rivals=("A number that never was the address of an upcall stub.",),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the signal"),
            (views.fault_address_path(report), "the address that was touched"),
            (f"{where}.value", "the address that the downcall handed on"),
            (f"{where}.points_to", "what lies there"),
            (views.frame_path(report, found.caller[0], "module"), "the library that called back"),
            (views.frame_path(report, java[0]) if java is not None else "", "the Java code that made the downcall"),
        ),
        remedies=(
            REMEDY,
            f"Look at {culprit.label(java[1]) if java is not None else 'the Java caller'} for the arena of the callback"
            " and for who closes it.",
        ),
    )
