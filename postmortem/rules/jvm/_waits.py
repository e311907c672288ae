"""What threads of a JVM that stands still wait for, and who could still go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views

if TYPE_CHECKING:
    from postmortem.model import Report, Thread

_SYSTEM = frozenset(
    {
        "Reference Handler",
        "Finalizer",
        "Signal Dispatcher",
        "Service Thread",
        "Monitor Deflation Thread",
        "Notification Thread",
        "Sweeper thread",
        "Common-Cleaner",
        "Attach Listener",
        "DestroyJavaVM",
        "process reaper",
    }
)
"""Threads that every JVM has, by the names that it gives them; compilers have a kind of their own."""
_IDLE = (
    "java.util.concurrent.ThreadPoolExecutor.getTask",
    "java.util.concurrent.ForkJoinPool.awaitWork",
    "java.util.concurrent.ForkJoinPool.runWorker",
)
_DELAYED = "java.util.concurrent.ScheduledThreadPoolExecutor$DelayedWorkQueue.take"
_MONITOR = "java.lang.Object.wait"


def standing(report: Report) -> bool:
    """The process was looked at or ended from outside, and its threads may tell why: none of them faulted."""
    return (
        report.jvm is not None
        and bool(report.threads)
        and not jvm_views.own_fault(report)
        and not jvm_views.ended_by_itself(report)
        and jvm_views.internal_error(report) is None
    )


def name(thread: Thread) -> str:
    """The name the VM gave the thread."""
    return (thread.java.name if thread.java is not None else None) or f"thread {thread.tid}"


def state(thread: Thread) -> str:
    """Its java.lang.Thread.State; "" where that is not known."""
    return (thread.java.state if thread.java is not None else None) or ""


def place(thread: Thread) -> str:
    """Where it is, by its innermost Java frame that is not the JDK's."""
    index = jvm_frames.telling(thread.frames)
    return jvm_frames.java_place(thread.frames[index]) if index is not None else "native code"


def own_frame(thread: Thread) -> int | None:
    """The innermost Java frame of the application."""
    index = jvm_frames.telling(thread.frames)
    return index if index is not None and not jvm_frames.of_jdk(thread.frames[index]) else None


def on_monitor(thread: Thread) -> bool:
    """In Object.wait() as the application called it; a join is one of the JDK's own."""
    index = own_frame(thread)
    return index is not None and any(frame.function == _MONITOR for frame in thread.frames[:index])


def of_vm(thread: Thread) -> bool:
    """A thread of the VM or of the JDK that runs in every JVM."""
    java = thread.java
    if java is None:
        return False
    kind = java.kind or ""
    if java.state is None and kind != "JavaThread":
        return True
    return "Compiler" in kind or "Compiler" in (java.name or "") or java.name in _SYSTEM


def idle(thread: Thread) -> bool:
    """Waits for work that nobody gave it: a worker of a pool, or a timer without a task."""
    if own_frame(thread) is not None:
        return False
    names = {frame.function for frame in thread.frames}
    if state(thread) == "WAITING":
        return True
    return state(thread) == "TIMED_WAITING" and not names.isdisjoint(_IDLE) and _DELAYED not in names
