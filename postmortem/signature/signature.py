"""The signature of a crash: what two crashes of one defect have in common.

Two keys. `id` is made of a cause (causes.py) and the functions of the original fault's stack that tell it apart
(frames.py): it is equal for all builds of a program. `exact` is made of build-ids and offsets: it is equal for one
build only, and needs no symbols. A hang is told by its cycle of threads, a process that was killed by what its own
threads did, each in an order that does not depend on thread numbers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from postmortem.model import Signature
from postmortem.model.jvm import INITIALIZATION
from postmortem.model.queries import aborts, locks
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.signature import frames as stack
from postmortem.signature.causes import cause
from postmortem.signature.sites import SITES, site_of, sites

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from postmortem.model import Frame, Report, Thread

VERSION = 4
"""Of the code and lists by which signatures are made: signatures of two versions are not compared."""
FRAMES = 2
"""Functions that tell crashes apart: the deeper a stack, the more of it optimisation moves, and the more it is only
the way there."""
EXACT_FRAMES = 8
LONGEST_TEXT = 255

_SENT = ("killed-by-signal", "snapshot")
_VM_ONLY = ("jvm-crash-in-gc", "jvm-crash-in-compiler")
_LOOKED_AT = 200


def signed(report: Report) -> Report:
    """The report with its signature."""
    return msgspec.structs.replace(report, signature=signature(report))


def signature(report: Report) -> Signature:
    """The signature of any report; one without a usable stack is told by its cause and its program."""
    rule, words = cause(report)
    names, incomplete = _names(report, rule, words)
    digest = hashlib.sha1("\n".join((str(VERSION), words, *names)).encode(), usedforsecurity=False)
    text = " | ".join((words, *names))
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 1] + "…"
    return Signature(
        id=digest.hexdigest(),
        frames=names,
        text=text,
        cause=words,
        version=VERSION,
        exact=_exact(report, rule),
        incomplete=incomplete,
    )


def deep_frames(report: Report, limit: int) -> tuple[Frame, ...]:
    """The crashing thread's own frames (or what comes closest), for a comparison of whole stacks."""
    found = views.crashing_thread(report)
    return () if found is None else tuple(stack.telling(found[1].frames[:_LOOKED_AT])[:limit])


def _names(report: Report, rule: str | None, words: str) -> tuple[tuple[str, ...], str | None]:
    """(the functions, why they may differ from those of the same crash elsewhere)."""
    unread = _unread_runtime(report)
    names: tuple[str, ...]
    if rule == "mutex-deadlock" and (members := locks.deadlocked(report)):
        names = _lock_sites([report.threads[index] for index in members])
    elif rule == "jvm-java-deadlock" and report.jvm is not None and report.jvm.deadlocks:
        names = tuple(sorted(set(_java_cycle(report))))
    elif rule == "go-fatal" and (places := _asleep(report)):
        names = places
    elif rule in _SENT or (rule is not None and views.was_sent(report)):
        names = sites(report)
        if views.is_log(report):
            unread = "a log holds the stack of one thread only"
    else:
        found = views.crashing_thread(report)
        frames = () if found is None else found[1].frames[first(report, rule) :]
        names, unnamed = ((), None) if found is None else _of_stack(found[1], frames, rule, words.startswith("null"))
        unread = unread or unnamed
    if names:
        return names, unread
    return _program(report), unread or "no frame of the program's own is known"


def first(report: Report, rule: str | None) -> int:
    """The first frame that counts: of a process that ended itself through its own die(), the one that called it."""
    wrapped = aborts.wrapped(report) if rule == "deliberate-abort" else None
    return wrapped.at if wrapped is not None and not aborts.message(report) else 0


def _asleep(report: Report) -> tuple[str, ...]:
    """Where goroutines wait that Go's run-time found to be a deadlock: the thread that found it tells nothing."""
    if "all goroutines are asleep" not in (report.native.runtime_message or ""):
        return ()
    groups = [group for state in report.runtimes for group in state.goroutines if group.state == "waiting"]
    return tuple(sorted({group.function for group in groups}))[:SITES]


def _of_stack(
    thread: Thread, frames: Sequence[Frame], rule: str | None, null: bool
) -> tuple[tuple[str, ...], str | None]:
    """frames: the thread's, from the first one on that counts. null: a null pointer was dereferenced."""
    cycle = max(thread.cycles, key=lambda item: item.period * item.count, default=None)
    if cycle is not None and rule in ("stack-overflow", "jvm-stack-overflow"):
        telling = stack.telling(frames[cycle.start : cycle.start + cycle.period])
        return tuple(stack.first_rotation(stack.names(telling)))[:FRAMES], _unnamed(telling[:FRAMES])
    telling = stack.telling(frames[:_LOOKED_AT])
    if not telling:
        return (), None
    if rule in _VM_ONLY:
        telling = telling[:1] if rule == "jvm-crash-in-compiler" and not stack.is_java(telling[0]) else []
    elif stack.classify(telling[0]) == "entry":
        return (stack.with_file(telling[0]),), None
    elif not stack.is_java(telling[0]):
        # A log loses the native callers of the native frame that crashed, but not the Java ones.
        java = next((frame for frame in telling if stack.is_java(frame)), None)
        telling = [telling[0], java] if java is not None else _from_origin(telling) if null else telling
    return tuple(stack.names(telling)[:FRAMES]), _unnamed(telling[:FRAMES])


def _from_origin(telling: list[Frame]) -> list[Frame]:
    """The innermost function and, where it was given the null pointer, the one that did not have it from its caller."""
    given = next((at for at, frame in enumerate(telling) if not _given_null(frame)), 0)
    return [telling[0], *telling[given:]] if given else telling


def _given_null(frame: Frame) -> bool:
    return any(value.text == "0x0" for value in frame.arguments)


def _unnamed(frames: Iterable[Frame]) -> str | None:
    for frame in frames:
        if frame.function is None and frame.module is not None:
            return f"{file_name(frame.module)} has no symbols here: offsets into it differ between builds"
    return None


def _unread_runtime(report: Report) -> str | None:
    if report.jvm is None and views.java_process(report):
        return "the JVM in the process could not be read, so Java frames are missing"
    return None


def _program(report: Report) -> tuple[str, ...]:
    """What ran: the Java main class or jar, else the executable."""
    command = report.jvm.java_command if report.jvm is not None else None
    if command and command.split():
        return (f"in {file_name(command.split()[0])}",)
    name = report.process.executable or report.process.command
    return (f"in {file_name(name)}",) if name else ()


def _lock_sites(threads: Sequence[Thread]) -> tuple[str, ...]:
    """Where each thread of a deadlock waits; with its caller where all wait in one function, which may be a helper."""
    found = [site for thread in threads if (site := site_of(thread, own=False)) is not None]
    if len(set(found)) == 1:
        found = [" < ".join(stack.names(stack.telling(thread.frames[:_LOOKED_AT]))[:2]) for thread in threads]
    return tuple(sorted(set(found)))


def _java_cycle(report: Report) -> Iterator[str]:
    assert report.jvm is not None
    by_tid = {thread.tid: thread.frames for thread in report.threads}
    by_virtual = {thread.java_tid: thread.frames for thread in report.jvm.virtual_threads}
    for member in report.jvm.deadlocks[0].threads:
        frames = by_tid.get(member.tid or -1) or by_virtual.get(member.java_tid) or ()
        names = stack.names([frame for frame in stack.telling(frames[:_LOOKED_AT]) if stack.is_java(frame)])[:1]
        if (member.waiting_for or "").startswith(INITIALIZATION):
            names.append(member.waiting_for or "")
        if names:
            yield " < ".join(names)


def _exact(report: Report, rule: str | None) -> str | None:
    """Hash of the build-ids and offsets of the innermost activations; None where a build-id is not known."""
    if rule in _SENT:
        return None
    if rule == "mutex-deadlock" and (members := locks.deadlocked(report)):
        threads = [report.threads[index] for index in members]
    else:
        found = views.crashing_thread(report)
        threads = [] if found is None else [found[1]]
    builds = {module.path: module.build_id for module in report.modules}
    stacks: list[str] = []
    for thread in threads:
        lines: list[str] = []
        for frame in thread.frames[:_LOOKED_AT]:
            if frame.inlined or frame.trust == "scan" or len(lines) == EXACT_FRAMES:
                continue
            if stack.is_java(frame):
                lines.append(stack.java_name(frame.function or ""))
            elif frame.module is not None and frame.module_offset is not None:
                build = builds.get(frame.module)
                if build is None:
                    return None
                lines.append(f"{build}+{frame.module_offset:#x}")
        if lines:
            stacks.append("\n".join(lines))
    if not stacks:
        return None
    return hashlib.sha1("\n\n".join(sorted(stacks)).encode(), usedforsecurity=False).hexdigest()
