"""The state of the JVM as a log tells it."""

from __future__ import annotations

import itertools
import re
import shlex
from typing import TYPE_CHECKING

from postmortem.model import (
    Address,
    Compilation,
    Event,
    EventLog,
    FailedThread,
    Flag,
    HeapSpace,
    Jvm,
    SignalHandler,
    VmError,
)
from postmortem.model.jvm import CodeCache, CodeSegment, Heap, Metaspace, Safepoint

if TYPE_CHECKING:
    from parsers.hs_err import HsErrLog
    from parsers.hs_err import model as log

_PLACE = re.compile(r"\[?([^\[\]+]+)\+(?:0x)?[0-9a-fA-F]+\]?")
"""A handler for which the VM found no name: [libjvm.so+0x12], libjvm.so+18."""
_NOTES = 100
_DETAILS = 200
_DIGITS = 21
_UNLIMITED = 1 << 60
_INTERNAL = 0xE0000000
_FAILED = {"malloc": 0xE0000001, "mmap": 0xE0000002, "mprotect": 0xE0000003}
"""VMError's ids (src/hotspot/share/utilities/vmError.hpp, VMErrorType)."""
_COLLECTORS = {
    "g1": "G1",
    "parallel": "Parallel",
    "serial": "Serial",
    "cms": "CMS",
    "z": "Z",
    "shenandoah": "Shenandoah",
    "epsilon": "Epsilon",
}


def jvm(told: HsErrLog) -> Jvm:
    """All of it; what the log does not have is absent."""
    header, arguments = told.header, told.vm.arguments
    name, version = (None, None) if header.vm is None else (header.vm.name, header.vm.version)
    flags = tuple(Flag(name=flag.name, value=flag.value, origin=flag.origin) for flag in told.vm.flags)
    by_name = {flag.name: flag.value for flag in flags}
    return Jvm(
        version=version,
        name=name,
        tier="log",
        java_command=arguments.java_command,
        arguments=_split(arguments.jvm_args) if arguments.jvm_args else _of_command_line(told.summary.command_line),
        flags=flags,
        properties={} if arguments.class_path is None else {"java.class.path": arguments.class_path},
        heap=_heap(told, by_name),
        code_cache=_code_cache(told.code_cache),
        metaspace=_metaspace(told, by_name),
        safepoint=None if told.process.vm_state is None else Safepoint(state=_safepoint(told.process.vm_state)),
        vm_operation=None if told.thread.vm_operation is None else told.thread.vm_operation.name,
        error=_error(header),
        signal_handlers=tuple(_handler(handler) for handler in told.vm.signal_handlers),
        uptime=told.summary.elapsed,
        build=told.system.vm_info,
        compilations=_compilations(told),
        runtime=_runtime(header),
        exception_counts={count.name: count.count for count in told.process.exception_counts},
        failed_threads=tuple(
            FailedThread(name=thread.name, error=thread.error, text=thread.text)
            for thread in told.console.failed_threads
        ),
        warnings=told.console.warnings,
        vm_locks=tuple(_lock(mutex, told) for mutex in told.process.mutexes),
        agents=told.libraries.agents,
        native_memory={tag.name: tag.committed for tag in told.native_memory.tags if tag.committed is not None},
        compressed_oops=_oops(told.pointers),
        notes=_notes(told),
        details=_details(told),
        events=tuple(
            EventLog(
                name=ring.name,
                events=tuple(
                    Event(
                        time=event.time,
                        thread=None if event.thread is None else hex(event.thread),
                        text="\n".join((event.text.strip(), *event.details)),
                    )
                    for event in ring.events
                ),
            )
            for ring in told.events
        ),
    )


def _split(text: str | None) -> tuple[str, ...]:
    """The VM joins its arguments with blanks and quotes none, so an argument with a blank is told in parts."""
    if text is None:
        return ()
    splitter = shlex.shlex(text, posix=False)
    splitter.whitespace_split, splitter.commenters, splitter.quotes = True, "", ""
    return tuple(splitter)


def _of_command_line(text: str | None) -> tuple[str, ...]:
    """The VM's part of `Command Line:` (JDK 11 and newer), which names the main class and its arguments, too."""
    return tuple(itertools.takewhile(lambda word: word.startswith("-"), _split(text)))


def _runtime(header: log.Header) -> str | None:
    return None if header.runtime is None else header.runtime.version or header.runtime.build


def _lock(mutex: log.Mutex, told: HsErrLog) -> str:
    """`Threads_lock, held by VMThread "VM Thread"`."""
    threads = (*told.process.java_threads, *told.process.other_threads)
    owner = next((thread for thread in threads if thread.address == mutex.owner and mutex.owner), None)
    if owner is None:
        return f"{mutex.name}, held by thread {hex(mutex.owner or 0)}"
    return f'{mutex.name}, held by {owner.kind} "{owner.name}"' if owner.name else f"{mutex.name}, held by {owner.kind}"


def _oops(pointers: log.CompressedPointers) -> str | None:
    if pointers.heap_address is None:
        return None
    mode = f", {pointers.oops_mode}" if pointers.oops_mode else ""
    return f"heap at {hex(pointers.heap_address)}, {(pointers.heap_size or 0) >> 20} MiB{mode}"


def _notes(told: HsErrLog) -> tuple[str, ...]:
    """What the VM states beside its tables."""
    header, thread = told.header, told.thread
    notes = [*header.notes, *thread.notes]
    if header.outside_vm:
        notes.append("The crash happened outside the Java Virtual Machine in native code.")
    if thread.processed_thread is not None:
        notes.append(thread.processed_thread.text)
    if thread.is_native:
        notes.append("Current thread is native thread")
    if header.core is not None:
        notes.append(header.core.text)
    return tuple(note.strip() for note in notes[:_NOTES])


def _details(told: HsErrLog) -> dict[str, str]:
    """By the VM's names, the first of each."""
    header, code = told.header, told.code_cache
    found: dict[str, str] = {}
    settings = (
        *told.heap.precious_log,
        *told.heap.settings,
        *told.pointers.settings,
        *told.metaspace.settings,
        *told.process.jni_references,
        *told.vm.release,
    )
    for setting in settings[:_DETAILS]:
        if setting.name and setting.value:
            found.setdefault(setting.name, setting.value)
    more = (
        ("VM state", told.process.vm_state),
        ("Archive", told.pointers.archive_text),
        ("Code cache full", None if code.full_count is None else f"{code.full_count} times"),
        ("Compilations stopped", None if code.stopped_count is None else f"{code.stopped_count} times"),
        ("Launcher", told.vm.arguments.launcher),
        ("Compiler replay file", header.replay_file),
        ("Log", "; ".join(header.saved_as) or None),
        ("JFR", "; ".join(header.jfr) or None),
    )
    return found | {name: value for name, value in more if value}


def _safepoint(words: str) -> str:
    if words.startswith("not at"):
        return "not synchronized"
    return "synchronized" if words.startswith("at safepoint") else "synchronizing"


_UNHANDLED = re.compile(r"caught unhandled signal (\d{1,2})$")


def unhandled(header: log.Header) -> int | None:
    """The signal that the VM tells as an error of its own: Zero's handler does so (os_linux_zero.cpp)."""
    found = _UNHANDLED.search(header.detail or header.message or "")
    return int(found[1]) if found is not None and header.kind == "internal-error" else None


def _error(header: log.Header) -> VmError | None:
    if unhandled(header) is not None:
        return None
    number = header.error_id
    if header.kind == "internal-error" and number is None:
        number = _INTERNAL
    allocation = header.allocation
    if header.kind == "out-of-memory":
        number = _FAILED.get("" if allocation is None else allocation.function, number or _FAILED["malloc"])
    message, detail = header.message, header.detail
    if message is not None and detail is not None:
        message = message.removesuffix(detail).rstrip().removesuffix(":")
    if message is not None:
        message = message.removeprefix("Error: ")
    if number is None and message is None and detail is None and allocation is None:
        return None
    return VmError(
        id=number,
        message=message,
        detail=detail if allocation is None or allocation.detail is None else allocation.detail,
        file=header.source_file,
        line=header.source_line,
        size=None if allocation is None else allocation.size,
    )


def _heap(told: HsErrLog, flags: dict[str, str]) -> Heap | None:
    heap = told.heap
    spaces = [space for space in heap.spaces if space.name not in ("Metaspace", "class space")]
    collector = heap.collector or (None if told.header.vm is None else told.header.vm.collector)
    if not spaces and collector is None:
        return None
    whole = [space for space in spaces if space.name.endswith(("heap", "Heap", "ZHeap"))]
    generations = [space for space in spaces if "gen" in space.name.lower() and "perm" not in space.name.lower()]
    counted = whole[:1] or [space for space in generations if "total" in space.name] or generations
    used, capacity = [space.used for space in counted], [space.capacity for space in counted]
    maximum = flags.get("MaxHeapSize") or flags.get("SoftMaxHeapSize") or ""
    return Heap(
        collector=_COLLECTORS.get(collector or "", collector),
        capacity=sum(size or 0 for size in capacity) if any(capacity) else None,
        used=sum(size or 0 for size in used) if any(size is not None for size in used) else None,
        maximum=_number(maximum),
        spaces=tuple(
            HeapSpace(
                name=space.name,
                capacity=space.capacity,
                used=space.used,
                start=Address(space.bounds[0]) if space.bounds else None,
                end=Address(space.bounds[-1]) if space.bounds else None,
            )
            for space in spaces
        ),
    )


def _code_cache(told: log.CodeCache) -> CodeCache | None:
    if not told.heaps and told.compilation is None:
        return None
    return CodeCache(
        segments=tuple(
            CodeSegment(
                name=heap.name,
                start=Address(heap.bounds[0]),
                end=Address(heap.bounds[-1]),
                capacity=heap.size or heap.bounds[-1] - heap.bounds[0],
                used=heap.used,
                free=heap.free,
            )
            for heap in told.heaps
            if heap.bounds
        ),
        reserved=sum(heap.size or 0 for heap in told.heaps) or None,
        used=sum(heap.used or 0 for heap in told.heaps) if told.heaps else None,
        nmethods=told.nmethods,
        compilation=told.compilation,
    )


def _metaspace(told: HsErrLog, flags: dict[str, str]) -> Metaspace | None:
    rows = {space.name: space for space in told.heap.spaces if space.name in ("Metaspace", "class space")}
    if not rows:
        return None
    whole, classes = rows.get("Metaspace"), rows.get("class space")
    limit = _number(flags.get("MaxMetaspaceSize", ""))
    return Metaspace(
        maximum=limit if limit is not None and limit < _UNLIMITED else None,
        used=None if whole is None else whole.used,
        committed=None if whole is None else whole.committed,
        class_used=None if classes is None else classes.used,
        class_committed=None if classes is None else classes.committed,
        class_maximum=None if classes is None else classes.reserved,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < _DIGITS else None


def _handler(told: log.SignalHandler) -> SignalHandler:
    function, _, library = told.handler.partition(" in ")
    place = _PLACE.fullmatch(told.handler)
    if place is not None:
        library = place[1]
    return SignalHandler(
        signal=told.signal,
        handler=function,
        library=library or None,
        expected=False if any("warning" in note.lower() or "expected" in note for note in told.notes) else None,
    )


def _compilations(told: HsErrLog) -> tuple[Compilation, ...]:
    tasks = [*told.process.compile_tasks]
    own = told.thread.compile_task
    if own is not None and all(task.id != own.id for task in tasks):
        tasks.insert(0, own)
    return tuple(
        Compilation(thread=task.thread, method=task.method, level=task.level, compile_id=task.id) for task in tasks
    )
