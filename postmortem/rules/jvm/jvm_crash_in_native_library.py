"""Crash in a native library that Java code called.

What it finds: a fault or an abort in a library that is neither the JVM nor libc, in a process with a JVM; also
one inside libc or inside a JNI function of the JVM that the library called.
Why it matters: the JVM prints the report, but the fault is the library's; its owner is to be asked.
Evidence it needs: a frame of the library above the innermost Java frame, or on a thread without Java frames; the
frames between tell whether a native method, java.lang.foreign or an agent's event led there.
False alarms: a library that was handed damaged data by another one is only the place of the crash.
Rivals excluded: a fault in the JVM itself that the library did not call; a failed check of the JVM; a check of
-Xcheck:jni; a signal sent from outside.
What to do: read the named function, update or replace the library, run its tests under a sanitizer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import NO_NATIVE_FRAMES, WALK_ENDED, Confidence, Finding, Frame, Report
from postmortem.model.queries import aborts, culprit, heapend, operands, overwritten, spacelimit
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.systems import system
from postmortem.model.queries.variables import operand_evidence
from postmortem.rules import advice
from postmortem.rules.fault import illegal_instruction, misaligned_access, write_to_read_only
from postmortem.rules.jvm import _entry as jvm_entry
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _null_argument as null_argument
from postmortem.rules.jvm import _stack as jvm_stack
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import _threads as jvm_threads
from postmortem.rules.jvm import _unrelocated as unrelocated
from postmortem.rules.jvm import _upcall as upcall
from postmortem.rules.jvm import jvm_jni_fatal_error
from postmortem.rules.rule import Rule

_GLIBC = Lazy(r"/ld-linux[^/]*\.so\.\d$|/libc\.so\.6$|/libgcompat\.so")

if TYPE_CHECKING:
    from collections.abc import Iterator

_FEWEST_ABSENT = 3
_LARGEST_LIBRARY = 256 << 20
"""Bytes of a gap between mappings that a library may have left."""
_STALE = (
    "Look for who frees what {name} points to while its address is kept: a handle in a Java long that outlives"
    " close(), a second thread."
)
_UNLOAD = (
    "Before dlclose(): stop and join the library's threads, and take back its callbacks, timers and handlers; or keep"
    " it loaded (RTLD_NODELETE). LD_DEBUG=files shows what was unloaded."
)
_FORK = "Call nothing of the JVM, and no malloc, between fork() and exec(); start programs by posix_spawn()."


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    if not jvm_views.is_jvm(report) or not (jvm_views.own_fault(report) or jvm_views.ended_by_itself(report)):
        return
    raw = unrelocated.call(report)
    if raw is not None:
        yield unrelocated.finding(report, raw, RULE.id)
        return
    back = upcall.callback(report)
    if back is not None and (freed := upcall.freed(report, back, RULE.id)) is not None:
        yield freed
        return
    found = jvm_frames.library_frame(report)
    if found is None:
        through = jvm_frames.through_jni(report) if jvm_views.memory_fault(report) else None
        yield from _called_directly(report) if through is None else _through_jni(report, *through)
        return
    if jvm_views.internal_error(report) is not None or jvm_views.foreign_handler(report) is not None:
        return
    if jvm_jni_fatal_error.stopped_by_check(report) or jvm_threads.in_launcher(report):
        return
    index, frame, in_vm = found
    assert frame.module is not None
    where = jvm_frames.site(report)
    entry = _jni_function(report) if in_vm else None
    from_jdk = jvm_frames.is_jdk_library(report, frame.module)
    if in_vm and (from_jdk or (where.java is None and entry is None)):
        # The JDK's libraries and launchers call into the VM all the time; then the fault is the VM's.
        return
    if jvm_views.ended_by_itself(report) and not (aborts.aborted(report) or _raises(report, index)):
        return
    library = file_name(frame.module)
    agent = _agent(report, library)
    framework = jvm_frames.is_framework(report, frame.module)
    program = agent is None and not from_jdk and not framework and _is_program(report, frame.module)
    what, how = _what(report, index, in_vm, entry)
    confidence: Confidence = "likely" if in_vm and entry is None else "certain"
    way = jvm_entry.entry(report, index)
    leaving = jvm_entry.exit_call(report, index)
    child = _forked(report)
    if child:
        what = f"In a forked child: {what}"
    mixed = _mixed_libc(report)
    scanned = frame.trust == "scan"
    skipped = _skipped(report, index)
    called = f"{_kind(from_jdk, agent, program, framework)} {library}: {jvm_frames.owner(report, frame)}"
    if skipped:
        called += ", or a function that it called"
        how = how.replace(f"of {library} ", f"of {library}, or a function that it called, ", 1)
        confidence = "likely"
    if scanned and way.method is not None:
        # A word of the stack leads to the library; the native method is what is sure.
        called = f"native method {jvm_entry.name(way.method[1])}"
    if scanned:
        confidence = "likely"
    null = null_argument.found(report, entry[1] if entry else None) if in_vm else None
    gone = not in_vm and views.pc_is_fault(report) and jvm_views.memory_fault(report) and _gap(report) is not None
    stale = overwritten.by_text(report) if not in_vm and jvm_views.memory_fault(report) and not gone else None
    end = heapend.overrun(report) if not in_vm else None
    limit = spacelimit.null(report) if not in_vm and jvm_views.memory_fault(report) else None
    said = heapend.said_in_handler(report)
    cut = operands.cut_pointer(report) if jvm_views.memory_fault(report) and not in_vm else None
    if null is not None or cut is not None or _calls_null(report, index):
        confidence = "likely"  # The title says more than where it was.
    sentences = (
        how,
        f"{cut[1]}." if cut is not None else "",
        null.sentence if null is not None else "",
        stale.sentence if stale is not None else "",
        end.sentence if end is not None else "",
        limit.sentence if limit is not None else "",
        _DAMAGED.format(said=said) if said else "",
        child,
        _SCANNED if scanned and way.method is not None else _AT_SP if scanned else "",
        skipped,
        mixed,
        _leaving(report, leaving),
        way.words,
        _verdict(report, index, library, from_jdk, agent, program, framework),
    )
    yield Finding(
        rule=RULE.id,
        title=f"{what} {called}{_null(report, index) or (cut or null or ('',))[0]}",
        severity="critical",
        confidence=confidence,
        claim="observation",
        rivals=(
            *(("Another library that the native method called into.",) if scanned and way.method is not None else ()),
            *(("A leftover of an earlier call at the stack pointer.",) if scanned and way.method is None else ()),
            *(("Memory of the JVM that was damaged before, with good arguments.",) if null is not None else ()),
            *(("A number that meets the half of an address by chance.",) if cut is not None else ()),
            *(("A function pointer that was overwritten or never set.",) if gone else ()),
            *(("A return to that address after the stack was overwritten.",) if _calls_null(report, index) else ()),
            *(("A function that this one called, of whose frame the walk knows nothing.",) if skipped else ()),
        ),
        explanation=(
            " ".join(sentence for sentence in sentences if sentence)
            + " Neither the JVM's settings nor its collector have a part in it."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the signal"),
            ("jvm.absent_threads" if child else "", "Java threads that the VM knows and this process lacks"),
            ("process.forked" if child else "", "the only thread runs on the stack of one that was started"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, index, "module"), "the library"),
            (views.frame_path(report, index), "its function"),
            (views.frame_path(report, index, "module_offset"), "offset in the library"),
            (views.frame_path(report, entry[0]) if entry else "", "the function of the JVM that it called"),
            (null.evidence if null is not None else "", "an exception was pending as the JVM was called"),
            (f"mappings[{end.below}].end" if end is not None else "", "where malloc's memory ends"),
            ("host.limits.AS" if limit is not None else "", "the limit on the address space"),
            ("native.abort_message" if said else "", "what libc said of malloc's data afterwards"),
            (stale.where if stale is not None else "", "what lies where the structure should be"),
            ("crash.instruction", "the faulting instruction"),
            *(operand_evidence(report) if index == 0 else ()),
            (views.frame_path(report, leaving[0]) if leaving else "", "its destructors ran under it"),
            (views.frame_path(report, way.event[0]) if way.event else "", "posts the event to the agent"),
            (views.frame_path(report, way.method[0]) if way.method else "", "the native method"),
            (
                views.frame_path(report, way.caller[0]) if way.caller else "",
                "its Java caller" if way.method else "the Java code",
            ),
        ),
        remedies=(
            *((_FORK,) if child else ()),
            *((_UNLOAD,) if gone else ()),
            *((spacelimit.REMEDY,) if limit is not None else ()),
            *((_STALE.format(name=stale.name),) if stale is not None else ()),
            *((operands.CUT_REMEDY,) if cut is not None else ()),
            *((null.remedy,) if null is not None else ()),
            *_remedies(report, library, frame, from_jdk, agent, program, way, leaving is not None),
        ),
    )


def _forked(report: Report) -> str:
    """A sentence on a process that is a copy of a JVM with one of its threads; "" where it is the JVM itself."""
    absent = report.jvm.absent_threads if report.jvm is not None else None
    if len(report.threads) != 1:
        return ""
    if absent and absent >= _FEWEST_ABSENT:
        told = f"of the VM's threads {absent} are not in it"
    elif report.process.forked:
        told = "its only thread, the first of the process, runs on the stack of one that pthread_create() had started"
    else:
        return ""
    return (
        f"The process is a child that fork() made of a JVM: {told}, and locks that the JVM's other threads held stay"
        " held. Only async-signal-safe functions may be called there until exec()."
    )


def _skipped(report: Report, index: int) -> str:
    """A sentence on functions that the library's frame may have called and that the walk does not have; "" for none.

    Without call frame information of libc the walk goes from there by the frame pointer, which is the one of
    whoever last kept it: the frame that is found may be that of its caller. HotSpot's own walk, which a log has, never
    knows more, but on Windows. What lies right at sp is the caller in either case.
    """
    frames = views.crashing_frames(report)[: index + 1]
    frame, above = frames[-1], [item for item in frames[:-1] if item.kind != "signal"]
    if frame.trust not in ("frame-pointer", "hotspot") or not above or jvm_frames.is_vm(above[-1]):
        return ""
    if above[-1].sp is not None and frame.sp == above[-1].sp + views.WORD:
        return ""
    found = next((f for f in above if f.trust == "scan" and f.module == frame.module), None)
    bare = above[-1].module is not None and jvm_frames.is_system(above[-1].module)
    bare = bare and (above[-1].function is None or frame.trust == "hotspot")
    bare = bare and not (frame.trust == "hotspot" and system(report).name == "windows")
    if found is None and not bare:
        return ""
    offset = f" (perhaps at {culprit.label(found)}, a word on the stack)" if found is not None else ""
    return (
        f"The walk came to {culprit.label(frame)} by the frame pointer, without the file of the system's library: it"
        f" may itself have called the function that did it{offset}."
    )


def _through_jni(report: Report, index: int, entry: Frame, method: Frame) -> Iterator[Finding]:
    """A fault in a JNI function that the native method's code reached by a tail call: it left no frame."""
    library = file_name(method.native_library or "")
    function = f"{plain(entry.function)}()" if entry.function else "a function of the JVM"
    native = f"native method {jvm_entry.name(method)} of {library}"
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    name = jvm_views.fault_name(report)
    null = null_argument.found(report, entry.function)
    yield Finding(
        rule=RULE.id,
        title=f"{name} in {function}, called by {native}{null.title if null is not None else ''}",
        severity="critical",
        confidence="likely",
        claim="observation",
        rivals=("The library or other native code had damaged the JVM's memory before.",),
        explanation=(
            f"{function[0].upper()}{function[1:]} met {name}{at}. The {native} reached it by a tail call and has no"
            " frame of its own: an argument that it passed was bad." + (f" {null.sentence}" if null is not None else "")
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the signal"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, index), "the JVM's function that was called"),
            ("crash.instruction", "the faulting instruction"),
            (null.evidence if null is not None else "", "an exception was pending as the JVM was called"),
            (views.frame_path(report, index + 1), "the native method"),
            (views.frame_path(report, index + 1, "native_library"), "its library"),
        ),
        remedies=(
            *((null.remedy,) if null is not None else ()),
            f"Read the {native}: look at what it passes to {function}, and whether an earlier call failed.",
            "Run with -Xcheck:jni: it reports wrong use of JNI at the call that makes it.",
        ),
    )


def _called_directly(report: Report) -> Iterator[Finding]:
    """A fault in libc, or where there is no code, which Java code called without a library of its own between.

    Long: most of it is the text of the finding, which is read in one piece.
    """
    above, java = jvm_frames.site(report)
    if java is None or not above or not jvm_views.memory_fault(report) or jvm_views.foreign_handler(report) is not None:
        return
    if views.stopped_in_abort(report):
        return
    linked = any(jvm_frames.is_downcall(frame) for _, frame in above)
    if not linked and report.crash.pc is not None and report.crash.pc < views.FIRST_PAGE:
        return  # The native code of the method, which left no frame, called a null pointer: a rule of its own.
    method = jvm_frames.native_method(report)
    native = [(index, frame) for index, frame in above if not jvm_frames.is_downcall(frame)]
    if not (linked or method is not None) or not native or jvm_stack.in_stack_guard(report):
        return
    unwalked = native[0][1].note == WALK_ENDED and not linked and not views.pc_is_fault(report)
    if method is not None and (native[0][1].note == NO_NATIVE_FRAMES or unwalked):
        yield _below(report, native[0][1], method, jvm_frames.java_caller(report, method[0]))
        return
    back = upcall.callback(report)
    stubs = sum(frame.kind == "stub" for _, frame in native[:1]) if back is not None else 0
    if any(frame.kind == "stub" or (frame.module is not None and not _system(frame)) for _, frame in native[stubs:]):
        return
    caller = jvm_entry.linked(report) if linked else jvm_frames.java_caller(report, method[0] if method else -1)
    index, inner = native[0]
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    name = jvm_views.fault_name(report)
    cut = operands.cut_pointer(report)
    how = "java.lang.foreign" if linked else f"the native method {jvm_entry.name(method[1])}" if method else ""
    by = f" by {culprit.label(caller[1])}" if caller else ""
    if back is not None:
        who = upcall.function(report, back)
        pc = views.fetched(report) if views.pc_is_fault(report) else None
        target = f"a callback that led to {pc:#x}, where there is no code" if pc is not None else "a callback"
        title = f"{name} in {target}, from {who}, called through {how}{by}"
        words = f"{who}, which Java had called through {how}, called back: {name}{at}."
        first = "the callback that it hands on: an upcall stub whose arena is closed, or a number that is no function"
    elif views.pc_is_fault(report):
        pc = views.fetched(report)
        target = f"{pc:#x}" if pc is not None else "an address"
        title = f"Call of {target}, where there is no code, through {how}{by}"
        words = f"A call through {how} led to {target}, where there is no code: {name}."
        first = "the address of the function: a symbol of a library that was unloaded, or a number that is none"
    else:
        place = culprit.label(inner)
        title = f"{name} in {place}, called through {how}{by}{cut[0] if cut is not None else ''}"
        words = f"{name}{at} was raised in {place}, which Java called through {how}; no other library lies between."
        first = "the arguments: a segment's address, its length, whether its arena is closed"
    yield Finding(
        rule=RULE.id,
        title=title,
        severity="critical",
        confidence="likely",
        claim="observation",
        rivals=(
            "memory that the native function uses was damaged before",
            *(("A defect of the JVM in its upcall stubs.",) if stubs else ()),
        ),
        explanation=(
            f"{words} Called{by or ' by Java'}.{f' {cut[1]}.' if cut is not None else ''} The native function did what"
            " it was told with what it was given; what else it may be: memory that it uses was damaged before."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the signal"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, index), "where it was raised"),
            (views.frame_path(report, index, "module"), "the library"),
            (views.frame_path(report, method[0]) if method else "", "the native method"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java code that called"),
            ("crash.instruction", "the faulting instruction"),
        ),
        remedies=(
            *((operands.CUT_REMEDY,) if cut is not None else ()),
            f"Look at {culprit.label(caller[1]) if caller else 'the Java caller'} for {first}.",
            "Check the function descriptor against the C prototype: sizes and order of the arguments, the return type.",
        ),
    )


_LOADS = Lazy(r"(?:java\.lang\.ClassLoader\$NativeLibrary|jdk\.internal\.loader\.(?:Raw)?NativeLibraries)\.load0?")


def _below(report: Report, inner: Frame, method: tuple[int, Frame], caller: tuple[int, Frame] | None) -> Finding:
    """A fault in a library of the system below a native method, in a log without the native frames between."""
    name, place = jvm_views.fault_name(report), culprit.label(inner)
    at_method, native = method[0], jvm_entry.name(method[1])
    by = f", called by {culprit.label(caller[1])}" if caller is not None else ""
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    loading = _LOADS.fullmatch(method[1].function or "") is not None
    return Finding(
        rule=RULE.id,
        title=f"{name} in {place}, {'as Java loaded a library' if loading else f'below the native method {native}'}",
        severity="critical",
        confidence="likely",
        claim="observation",
        rivals=(
            "Native memory that other code had damaged before.",
            f"A defect of the library that {'is loaded' if loading else 'implements the native method'}.",
        ),
        explanation=(
            f"{name}{at} was raised in {place}, a library of the system, on a thread that is in the native method"
            f" {native}{by}. The native frames between the two are not in the log: "
            + (
                "mostly it is what the loaded library runs as it is loaded, the constructors of its static objects, or"
                " those of a library that it needs."
                if loading
                else "mostly it is the library that implements the method that called the system's with a bad pointer,"
                " a handle that was closed, or memory that was damaged or freed before."
            )
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the signal"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, 0, "module"), "the library of the system"),
            (views.frame_path(report, at_method), "the native method"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java code that called"),
        ),
        remedies=(
            "Find which library is loaded: the Java frames below, or -Xlog:library=info (JDK 9 and newer).",
            f"Look at what it needs{' (ldd)' if system(report).name == 'linux' else ''} and which versions are found: a"
            " library that brings a C++ runtime of its own, or was built for another, crashes so.",
            "Load it in a program of its own (dlopen) to see whether Java has a part in it.",
        )
        if loading
        else (
            f"Look at what calls {native}: an object that another thread closes, or one that is used after its close.",
            f"Update the library that implements {native}.",
            *(() if jvm_views.checks_jni(report) else ("Run with -Xcheck:jni: it reports wrong use of JNI.",)),
            "Get the whole log: its native frames and libraries name what lies between.",
        ),
    )


def _system(frame: Frame) -> bool:
    return frame.module is not None and (jvm_frames.is_system(frame.module) or frame.module.startswith("["))


def _jni_function(report: Report) -> tuple[int, str] | None:
    """Index and name of the JNI or JVMTI function that the library had called."""
    for index, frame in reversed(jvm_frames.vm_frames(report)):
        name = plain(frame.function or "")
        if name.startswith(("jni_", "checked_jni_", "jvmti_", "JVM_")):
            return index, name
    wrapper = jvm_frames.jni_wrapper(report)
    if wrapper is not None and jvm_frames.vm_frames(report):
        return wrapper
    # FatalError ends the process at once.
    for index, frame in jvm_frames.site(report).native:
        name = plain(frame.function or "")
        if jvm_frames.is_vm(frame) and name.startswith(("jni_", "checked_jni_")):
            return index, name
    return None


def _mixed_libc(report: Report) -> str:
    """A sentence on glibc's loader or its imitation beside musl; "" where there is none."""
    if not system(report).musl:
        return ""
    paths = (*(module.path for module in report.modules), *(mapping.path or "" for mapping in report.mappings))
    found = next((path for path in paths if _GLIBC.search(path)), None)
    if found is None:
        return ""
    return (
        f"The process has musl as its libc and {file_name(found)} mapped as well: a library that was"
        " built for"
        " glibc, which musl or gcompat serve in part only."
    )


def _raises(report: Report, library: int) -> bool:
    """What lies above the library's frame is what raises a signal."""
    above = views.crashing_frames(report)[:library]
    return any(
        frame.function is not None
        and (frame.module is None or jvm_frames.is_system(frame.module))
        and culprit.skipped_function(frame.function)
        for frame in above
    )


def _what(report: Report, index: int, in_vm: int, entry: tuple[int, str] | None) -> tuple[str, str]:
    """The title's first words, and a sentence on how it ended there. Long: one case after the other."""
    frames = views.crashing_frames(report)
    frame = frames[index]
    assert frame.module is not None
    library = file_name(frame.module)
    label = culprit.label(frame)
    name, met = jvm_views.fault_name(report), jvm_views.fault_words(report)
    if jvm_views.ended_by_itself(report):
        if entry is not None and entry[1].endswith("FatalError"):
            return "JNI FatalError called by", f"{label} of {library} called JNI's FatalError, which ends the process."
        through = f" through {entry[1]}" if entry else ""
        if in_vm and entry is None:
            through = " through the JVM (as JNI's FatalError does)"
        said = aborts.message(report)
        text = f" libc said {said!r}." if said else ""
        verb = aborts.call(report, index)
        title = f"{verb} called by" if verb is not None else f"{name} raised by"
        return title, f"{label} of {library} ended the process with {verb or name}{through}.{text}"
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    if in_vm:
        function = f"{entry[1]}()" if entry else "a function of the JVM"
        label = jvm_frames.owner(report, frame)
        return (
            f"{name} in {function}, called by",
            (
                f"{label} of {library} called {function}, which met {met}{at}: an argument that it got from the"
                " library was bad, or the library had damaged the JVM's memory before."
            ),
        )
    if report.crash.mnemonic == "ret" and jvm_views.memory_fault(report):
        found = views.faulting_operand(report)
        value = found[1].base_value if found is not None else None
        to = f" ({value:#x})" if value is not None and found is not None and found[1].base != "rsp" else ""
        return (
            "Return address overwritten in",
            f"{label} of {library} returned to what is no address of code{to}: {name}. A local array was filled beyond"
            " its end, over the return address, or the stack was damaged through a stale pointer to it.",
        )
    if views.pc_is_fault(report):
        pc = views.fetched(report)
        target = f"{pc:#x}" if pc is not None else "an address"
        how = f"{label} of {library} called {target}, where there is no code: {met}.{_unloaded(report)}"
        return f"Call of {target}, where there is no code, in", how
    if _calls_null(report, index):
        how = f"{label} of {library} called the address {report.crash.pc or 0:#x}, where there is no code: {met}."
        return "Call of a null pointer in", how
    inner = frames[0]
    if index and inner.kind == "native" and (inner.function is not None or inner.module is not None):
        libc = file_name(inner.module or "") or "libc"
        place = f"{plain(inner.function)}() of {libc}" if inner.function is not None else culprit.label(inner)
        return _within(name, inner), (
            f"{name}{at} was raised in {place}, which {label} of {library} had called.{_allocator(inner)}"
        )
    if index and all((item.module, item.function) == (None, None) for item in frames[:index]):
        return f"{name} in code without a library, called by", (
            f"{name}{at} was raised in code that lies in no library, which {label} of {library} had called: code that"
            " it had generated, or what a bad function pointer or a library that was unloaded leads to."
        )
    refused = _instruction(report)
    if refused is not None:
        return refused[0], f"{label} of {library} {refused[1]}: {name}."
    access = views.an_access(report).capitalize()
    how = f"{access}{at} in {label} of {library} raised {met}." if at else f"{label} of {library} raised {met}."
    how += _nature(report)
    if address is not None and address < views.NEAR_NULL and jvm_views.memory_fault(report):
        how += _reading(report)
    return f"{name} in", how


def _calls_null(report: Report, index: int) -> bool:
    """A log without siginfo: its head has the pc, in the first page, and names the caller as the frame."""
    pc = report.crash.pc
    if pc is None or index or not views.is_log(report) or views.code(report) is not None:
        return False
    return pc < views.FIRST_PAGE and jvm_views.memory_fault(report)


def _gap(report: Report) -> tuple[str, str] | None:
    """The mappings around pc where it lies in a gap next to a library: there may have been another one."""
    pc = views.fetched(report)
    if pc is None or views.code(report) != views.SEGV_MAPERR or views.mapping_at(report, pc) is not None:
        return None
    below, above = views.neighbours(report, pc)
    if below is None or above is None or above[1].start - below[1].end > _LARGEST_LIBRARY:
        return None
    if not any(mapping.path is not None and ".so" in mapping.path for _, mapping in (below, above)):
        return None
    return views.mapping_text(below[1]), views.mapping_text(above[1])


def _unloaded(report: Report) -> str:
    gap = _gap(report)
    if gap is None:
        return ""
    return (
        f" The address lies in a gap between {gap[0]} and {gap[1]}, where libraries are mapped: a function of a library"
        " that was unloaded since (dlclose), a pointer to which was kept, has such an address."
    )


def _null(report: Report, index: int) -> str:
    """For the title: which pointer of the library's function was null; "" where that is not known."""
    found = views.faulting_operand(report) if index == 0 and jvm_views.memory_fault(report) else None
    if found is None or not found[1].pointer or found[1].base_value != 0 or found[1].index_value:
        return ""
    return f": {found[1].pointer} is null"


def _reading(report: Report) -> str:
    """What a low address tells, in the program's own words where these are known."""
    null = _null(report, 0)
    if not null:
        return " So low an address is that of a null pointer, or of a member or element behind one."
    operand = views.faulting_operand(report)
    wanted = operand[1].target if operand is not None else None
    return f" {null.removeprefix(': ')}" + (f"; {wanted} was wanted." if wanted else ".")


def _nature(report: Report) -> str:
    """A sentence on what was wrong with the address, by the rule that knows this kind of fault."""
    for rule in (misaligned_access, write_to_read_only):
        found = next(rule.check(report), None)
        if found is not None and found.confidence == "certain":
            return f" {found.title}."
    return ""


def _instruction(report: Report) -> tuple[str, str] | None:
    """The title's first words and what was done, where the instruction itself is what the CPU refused."""
    crash = report.crash
    if views.signal_is(report, views.SIGFPE) and crash.operand_values.get("divisor") == 0:
        return "SIGFPE by a division by zero in", "divided an integer by zero"
    if views.signal_is(report, views.SIGTRAP) and views.code(report) == views.SI_KERNEL:
        return (
            "SIGTRAP by a breakpoint in",
            "ran into a breakpoint (int3), which only a debugger continues",
        )
    if views.signal_is(report, views.SIGILL) and crash.mnemonic is not None:
        if illegal_instruction.is_trap(report):
            return f"SIGILL by {crash.mnemonic} in", (
                f"ran into {crash.mnemonic}, which a compiler puts where code can't be reached or a check failed"
                " (__builtin_unreachable, __builtin_trap)"
            )
        return f"SIGILL by {crash.mnemonic} in", (
            f"executed {crash.mnemonic}, which this processor, or what emulates it, does not execute: look at -march"
        )
    if views.signal_is(report, views.SIGILL) and views.is_log(report):
        return "SIGILL in", (
            "came to an instruction that this processor, or what emulates it, does not execute: mostly the library was"
            " built for a newer CPU or another variant of it; a compiler's trap where a check failed looks alike"
        )
    return None


_DAMAGED = (
    "The heap of malloc was damaged by then: the JVM's error reporting, which called malloc, was ended by libc's own"
    " check, {said!r}, before its log was whole."
)
_SCANNED = (
    "That place in the library is a word found on the stack next to the native method, which a leftover of an earlier"
    " call may be."
)
_AT_SP = (
    "That place in the library is the word at the stack pointer, where the return address of a function without a frame"
    " lies."
)
_DEFLATER = Lazy(
    r"fill_window|longest_match|deflate(?:_(?:stored|fast|slow|rle|huff))?|_tr_\w+|compress_block|build_tree|scan_tree"
)
"""Functions of zlib's deflate.c and trees.c."""
_BRIDGE = Lazy(r"jna-?\d+\.(?:tmp|dll|dylib)|(?:lib)?jnidispatch\S*|(?:lib)?jffi-?\S*", re.IGNORECASE)
"""JNA's and JRuby's libraries, under the names that they are unpacked to."""
_BRIDGES = (
    " is the bridge through which Java code calls native functions without JNI code of its own (JNA, jffi). It does"
    " what the Java declaration of the function says, and converts what the function returns: mostly a declaration"
    " does not fit the C prototype, or the function returned or kept a pointer that is none."
)
_ALLOCATOR = Lazy(
    r"(?:_int_|__libc_)?(?:malloc|free|realloc|calloc|memalign)|cfree|get_meta|malloc_consolidate|unlink_chunk"
    r"|Rtl\w*(?:Allocate|Free)Heap|szone_\w+|tiny_\w+|small_\w+|je_\w+|mi_(?:malloc|free)\w*|tc_(?:malloc|free)\w*"
)


def _within(name: str, inner: Frame) -> str:
    """ "SIGSEGV in memcmp(), called by": a function of the system that only passes on what it was handed."""
    if inner.module is None or not jvm_frames.is_system(inner.module):
        return f"{name} in"
    if inner.function is None:
        return f"{name} in {file_name(inner.module)}, called by"
    return f"{name} in {plain(inner.function)}(), called by"


def _allocator(inner: Frame) -> str:
    if inner.function is None or not _ALLOCATOR.fullmatch(plain(inner.function)):
        return ""
    return (
        " An allocator faults where its own data was overwritten or a pointer is handed back that is none: a write"
        " beyond"
        " a block, a block freed twice. The one that calls need not be the one that did it."
    )


def _leaving(report: Report, call: tuple[int, Frame] | None) -> str:
    if call is None:
        return ""
    caller = views.caller_of(report, call[0])
    who = f", which {culprit.label(caller[1])} had called" if caller is not None else ""
    return (
        f"It ran under exit(){who}: that runs static destructors and atexit handlers while the JVM's other threads go"
        " on, and destroys what they still use."
    )


def _is_program(report: Report, module: str) -> bool:
    """The executable; a log does not tell which that is, but libraries have a suffix."""
    executable = report.process.executable
    if executable is not None:
        return file_name(executable) == file_name(module)
    return views.is_log(report) and "." not in file_name(module)


def _kind(from_jdk: bool, agent: str | None, program: bool, framework: bool = False) -> str:
    if framework:
        return "the macOS framework"
    if agent is not None:
        return "agent"
    if program:
        return "the program"
    return "the JDK's library" if from_jdk else "native library"


def _agent(report: Report, library: str) -> str | None:
    """The argument that loaded the library as an agent."""
    stem = library.removeprefix("lib").split(".", 1)[0]
    for argument in report.jvm.arguments if report.jvm is not None else ():
        for option in ("-agentpath:", "-agentlib:"):
            if argument.startswith(option):
                value = file_name(argument.removeprefix(option).split("=", 1)[0])
                if value in (library, stem):
                    return option + value
    return None


def _called(report: Report, index: int) -> str:
    """Who called a framework."""
    for frame in views.crashing_frames(report)[index + 1 :]:
        if frame.module is None or frame.kind != "native" or frame.trust == "scan":
            return ""
        if not jvm_frames.is_system(frame.module) and not jvm_frames.is_framework(report, frame.module):
            return f", called by {culprit.label(frame)} of {file_name(frame.module)}"
    return ""


def _verdict(
    report: Report, index: int, library: str, from_jdk: bool, agent: str | None, program: bool, framework: bool
) -> str:
    if framework:
        return (
            f"{library} is a framework of macOS{_called(report, index)}: it fails for what its caller hands to it"
            " (an object already released,"
            " a call from the wrong thread: AppKit wants the first one), or by a defect of this release of macOS."
        )
    if agent is not None:
        return f"{library} is an agent that {agent} loads: it is not part of the application."
    if from_jdk and _DEFLATER.fullmatch(plain(views.crashing_frames(report)[index].function or "")):
        return (
            f"{library} belongs to the JDK itself. This function of zlib compresses what it is handed and reads no"
            " archive: its state is wrong, as after two threads used one Deflater, after end(), or by a defect of this"
            " zlib."
        )
    if from_jdk:
        return (
            f"{library} belongs to the JDK itself; it fails when it is given damaged data (a file cut short, a"
            " buffer freed too early), or it has a defect that an update may mend."
        )
    if program:
        return f"{library} is the program that the JVM runs in."
    if _BRIDGE.fullmatch(library):
        return f"{library}{_BRIDGES}"
    return f"{library} does not belong to the JDK."


_AGENTS = Lazy(r"(?:lib)?\w*(?:agent|jvmti|profiler)\w*(?:-\w+)*\.(?:so|dll|dylib|jnilib)", re.IGNORECASE)
_DRIVER = Lazy(
    r"(?:atio6axx|atioglxx|atig6pxx|atidxx64|amdxc64|amdvlk64|ig\d*icd(?:32|64)|ig9icd64|igc64|igvk64|nvoglv(?:32|64)"
    r"|nvoglnt|nvwgf2umx?|nvd3dumx?|igd\w*(?:32|64)|ati(?:umd\w+|u9p\w+|cfx\w+))\.dll|lib(?:nvidia-\w*(?:glcore|tls|glvkspirv)|GLX_nvidia|EGL_nvidia|fglrx|gallium)\b\S*"
    r"|(?:i915|i965|iris|crocus|radeonsi|r[236]00|nouveau|swrast|vmwgfx)_dri\.so",
    re.IGNORECASE,
)
"""Drivers of graphics cards (OpenGL, Vulkan, Direct3D) that a program is loaded with by the card's maker."""


def _remedies(
    report: Report,
    library: str,
    frame: Frame,
    from_jdk: bool,
    agent: str | None,
    program: bool,
    way: jvm_entry.Entry,
    leaving: bool,
) -> Iterator[str]:
    checkable = way.jni and not jvm_views.checks_jni(report)
    if from_jdk:
        yield "Update to the newest release of this JDK version and search its bug database for the function."
        yield f"Look at what the Java caller hands to {library}: a closed or mapped file, a buffer that is shared."
        if checkable:
            yield "Run with -Xcheck:jni to see whether another native library misuses JNI."
        return
    if _BRIDGE.fullmatch(library):
        yield (
            "Compare the Java declaration of the function that was called with its C prototype: types and sizes, the"
            " return type (String is a char* that must be valid), the calling convention, who frees the memory."
        )
        yield "Keep callbacks and memory reachable from Java as long as native code may use them."
        yield f"Update {library}'s project, if it is old for this JDK; the whole log shows the Java frames of the call."
        return
    if _DRIVER.fullmatch(library):
        yield "Update the driver of the graphics card, or go back to the one before: its maker maintains this library."
        yield "Leave out overlays, recorders and modifications that draw through it, to see whether the crash stays."
        return
    deliberate = jvm_views.ended_by_itself(report) and not aborts.message(report)
    first = f"Read {jvm_frames.owner(report, frame)}{advice.source_of(report, library, frame.module_offset)}"
    if deliberate:
        yield f"{first}, and the condition before the call that ended the process."
    elif way.method is not None:
        yield f"{first} and what {jvm_entry.name(way.method[1])} passes to it."
    elif not way.jni and way.caller is not None:
        yield f"{first} and what {culprit.label(way.caller[1])} passes to it."
    else:
        yield f"{first}."
    if leaving:
        yield (
            "End a process with a JVM by System.exit() or _exit(), or keep static destructors and atexit handlers from"
            " touching what running threads use."
        )
    if agent is not None:
        yield f"Remove {agent}, or update the agent."
    elif _AGENTS.fullmatch(library):
        yield f"Run without {library}, or update it: by its name it is of an agent or a profiler."
    elif not program:
        yield f"Update {library}, or ask who maintains it."
    if deliberate:
        return
    if views.signal_is(report, views.SIGILL):
        yield f"Use a build of {library} for the CPU of this machine; the log lists its features under CPU:."
        yield "Decode the instruction at pc: the log's line Instructions:, or gdb on the core."
        return
    if checkable:
        yield "Run with -Xcheck:jni: it reports wrong use of JNI at the call that makes it."
    yield advice.sanitizer(report, library, program)


RULE = Rule(id="jvm-crash-in-native-library", group="jvm", specificity=79, check=check, documentation=__doc__ or "")
