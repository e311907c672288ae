"""How the crashing thread came into a native library: from Java, from the JVM, or on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _threads as jvm_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Frame, Report

Item = tuple[int, "Frame"]

_LINKAGE = ("java.lang.invoke.", "jdk.internal.foreign.", "java.lang.foreign.")
_POST = Lazy(r"JvmtiExport::post_(\w+)")
_EVENTS = {
    "exception_throw": "Exception",
    "vm_initialized": "VMInit",
    "vm_start": "VMStart",
    "vm_death": "VMDeath",
    "vm_object_alloc": "VMObjectAlloc",
    "raw_breakpoint": "Breakpoint",
    "data_dump": "DataDumpRequest",
}
"""Events whose name in JVMTI is not that of the function which posts them."""
_LOADED = Lazy(r"Agent_On(?:Load|Attach|Unload)\w*")
_AGENT_THREAD = Lazy(r"JvmtiAgentThread::\w+")
_EXIT = Lazy(r"exit|__run_exit_handlers")


class Entry(NamedTuple):
    """words: a sentence on it, "" where nothing is known.

    method, caller: the native method and the Java code that called, with their indexes. event: what posted the
    agent's event. jni: the way led through JNI, so that its checks can tell something.
    """

    words: str
    method: Item | None = None
    caller: Item | None = None
    event: Item | None = None
    jni: bool = True


def entry(report: Report, library: int) -> Entry:
    """Of the library whose innermost frame is `library`."""
    java = jvm_frames.site(report).java
    between = _between(report, library, java)
    event = next((item for item in reversed(between) if _event(item[1]) is not None), None)
    if event is not None:
        caller = jvm_frames.java_caller(report)
        during = f", while it ran {culprit.label(caller[1])}" if caller else ""
        words = f"The JVM called the agent's callback for the event {_event(event[1])}{during}."
        return Entry(words, caller=caller, event=event)
    if java is None:
        return Entry(_without_java(report, between, library))
    if any(jvm_frames.is_downcall(frame) for _, frame in between):
        caller = linked(report)
        by = f": {culprit.label(caller[1])} made the downcall" if caller else ""
        return Entry(f"Java called it through java.lang.foreign{by}.", caller=caller, jni=False)
    method = jvm_frames.native_method(report)
    if method is not None:
        caller = jvm_frames.java_caller(report, method[0])
        by = f", called by {culprit.label(caller[1])}" if caller else ""
        return Entry(f"Java entered it through the native method {name(method[1])}{by}.", method, caller)
    caller = jvm_frames.java_caller(report)
    if any(jvm_frames.is_vm(frame) for _, frame in between):
        return Entry(f"The JVM called it while it ran {culprit.label(java[1])}.", caller=caller)
    return Entry(f"The Java code below it on the stack is {culprit.label(java[1])}.", caller=caller)


def name(frame: Frame) -> str:
    """A method without its place: "shop.Codec.decode0()"."""
    if frame.function is not None and frame.function.startswith("("):
        return frame.function  # "(a method that can't be read)"
    return f"{frame.function}()" if frame.function is not None else culprit.label(frame)


def exit_call(report: Report, library: int) -> Item | None:
    """Index and frame of exit() below the library: its destructors and atexit handlers run under it."""
    between = _between(report, library, jvm_frames.site(report).java)
    found = [item for item in between if item[1].function and _EXIT.fullmatch(plain(item[1].function))]
    return found[-1] if found else None


def _between(report: Report, library: int, java: Item | None) -> list[Item]:
    """What lies below the library's innermost frame, down to the Java code."""
    frames = list(enumerate(views.crashing_frames(report)))
    return frames[library + 1 : java[0] if java is not None else None]


def _event(frame: Frame) -> str | None:
    """The name that JVMTI has for the event that the frame posts."""
    match = _POST.fullmatch(plain(frame.function)) if jvm_frames.is_vm(frame) and frame.function else None
    if match is None:
        return None
    return _EVENTS.get(match[1]) or "".join(part.capitalize() for part in match[1].split("_"))


def linked(report: Report) -> Item | None:
    """The innermost Java code that is no part of a method handle or of the linker."""
    frames = [item for item in jvm_frames.java_frames(report) if not (item[1].function or "").startswith(_LINKAGE)]
    return next(iter(frames), None)


def _without_java(report: Report, between: Sequence[Item], library: int) -> str:
    found = [(library, views.crashing_frames(report)[library]), *between]
    names = [(plain(frame.function), frame) for _, frame in found if frame.function is not None]
    loaded = next((text for text, _ in names if _LOADED.fullmatch(text)), None)
    if loaded is not None:
        started = any(text == "JNI_CreateJavaVM" for text, _ in names)
        when = " as it started, before any Java code had run" if started else ""
        return f"The JVM called its {loaded}(){when}."
    if any(_AGENT_THREAD.fullmatch(text) for text, _ in names):
        return "The thread is one that the agent started through the JVM (JVMTI's RunAgentThread)."
    program = next((frame for text, frame in names if text == "main" and frame.module is not None), None)
    if program is not None:
        who = file_name(program.module or "")
        return f"The thread runs main() of {who}, and has no Java frames."
    if any(jvm_frames.is_vm(frame) for _, frame in between):
        return ""
    if jvm_threads.role(report) in (None, "other"):
        if views.is_log(report):
            return "The log shows no Java frames of its thread."
        return "The thread has no Java frames: native code of the library's own, on a thread of its own."
    return ""
