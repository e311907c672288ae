"""Crash in the JVM's own code.

What it finds: a fault in libjvm or in a stub of the JVM that none of the more specific rules explains.
Why it matters: it is a defect of the JVM, or the JVM met memory that somebody else had damaged.
Evidence it needs: a frame of libjvm, or generated code that belongs to no method, as the place of the fault.
False alarms: the collector, the compilers, Unsafe and JNI arguments have rules of their own and are left out here.
What to do: update; name the function in a search; look for agents and profilers that drive this part of the JVM.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.systems import system
from postmortem.rules.jvm import (
    _frames as jvm_frames,
)
from postmortem.rules.jvm import (
    _references as references,
)
from postmortem.rules.jvm import (
    _stack as jvm_stack,
)
from postmortem.rules.jvm import (
    _state as jvm_views,
)
from postmortem.rules.jvm import (
    _threads as jvm_threads,
)
from postmortem.rules.jvm import (
    _unrelocated as unrelocated,
)
from postmortem.rules.jvm import (
    _upcall as upcall,
)
from postmortem.rules.jvm import (
    jvm_arithmetic_fault,
    jvm_bad_jni_reference,
    jvm_crash_in_compiled_code,
    jvm_crash_in_interpreter,
    jvm_truncated_mapped_file,
    jvm_unsafe_access,
)
from postmortem.rules.jvm._arguments import boot_path, boot_remedy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLING = "sampling of stacks, for a profiler"
_ARCHIVING = "use of the class data sharing (CDS) archive"
_WORK = (
    (
        Lazy(r"_archived_|MetaspaceShared|ClassLoaderDataShared|FileMapInfo|HeapShared|ArchiveHeap|CDS"),
        _ARCHIVING,
    ),
    (Lazy(r"AsyncGetCallTrace|forte_"), SAMPLING),
    (Lazy(r"JFR|Jfr"), "sampling of stacks, for a profiler or JFR"),
    (Lazy(r"Jvmti|jvmti_|VM_RedefineClasses"), "work for an agent (JVMTI)"),
    (Lazy(r"ClassFileParser|SystemDictionary|ClassLoader|KlassFactory|Verifier|Rewriter"), "loading of a class"),
    (Lazy(r"LinkResolver|ConstantPool|InterpreterRuntime::resolve|Bytecode"), "resolution of a call or field"),
    (Lazy(r"Deoptimiz|vframe|frame::|StackWalk|RegisterMap"), "a walk of Java stacks or deoptimization"),
    (Lazy(r"ObjectSynchronizer|ObjectMonitor|Lightweight"), "locking of an object"),
    (Lazy(r"CodeCache|nmethod|CompiledIC|SharedRuntime::resolve"), "work on compiled code"),
    (Lazy(r"Exceptions|java_lang_Throwable"), "making of an exception"),
    (Lazy(r"HeapDumper|VM_HeapDump"), "a heap dump"),
    (Lazy(r"[ZX]Barrier|Shenandoah(?:Barrier|Runtime)|G1BarrierSet|oop_iterate"), "a barrier of the collector"),
    (Lazy(r"CollectedHeap|MemAllocator|TLAB|OptoRuntime::new|Runtime1::new"), "allocation"),
    (Lazy(r"before_exit|VM_Exit|destroy_vm|exit_globals"), "the end of the JVM"),
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    if not jvm_views.own_fault(report) or not jvm_views.is_jvm(report):
        return
    found = _place(report)
    if found is None or _explained(report):
        return
    index, frame = found
    names = [plain(item.function) for _, item in jvm_frames.vm_frames(report) if item.function is not None]
    if jvm_threads.dumping(report) is not None:
        yield _dump(report)
        return
    work = next((words for name in names for pattern, words in _WORK if pattern.search(name)), None)
    work = SAMPLING if any(_SAMPLES.search(name) for name in names) else work
    freed = _freed(report, index)
    if freed is not None:
        yield _freed_code(report, freed)
        return
    profiler = _profiler(report) if work == SAMPLING else None
    doing = f" during {work}" if work else ""
    operation = report.jvm.vm_operation if report.jvm is not None else None
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    caller = jvm_frames.java_caller(report)
    java = f" The Java code below is {jvm_frames.java_place(caller[1])}." if caller else ""
    label = f"the stub {frame.function}" if frame.kind == "stub" else culprit.label(frame)
    refused = jvm_frames.refused_class(report)
    sampling = work is not None and work.startswith("sampling")
    archive = _starts_from_archive(report)
    bad, off = references.no_object(report), references.unverified(report)
    damaged = references.damaged(report)
    by = f", called by the sampling profiler {profiler[1]}" if profiler is not None else ""
    if profiler is not None:
        label, doing = "AsyncGetCallTrace()", ""
    yield Finding(
        rule=RULE.id,
        title=(
            f"{jvm_views.fault_name(report)} in {label}{by}"
            if profiler is not None
            else f"{jvm_views.fault_name(report)} in the JVM{doing} as it used {bad.value:#x}, which is no object:"
            f" the variable {bad.name} of {_owner(report)}"
            if bad is not None
            else f"{jvm_views.fault_name(report)} in the JVM itself{doing}: {label}"
        ),
        severity="critical",
        confidence="likely",
        claim="observation",
        explanation=(
            f"{jvm_views.fault_name(report)}{at} was raised in {label}, code of the JVM{by}, on"
            f" {jvm_threads.thread_words(report)}{doing}."
            + (_INTERRUPTED if profiler is not None else "")
            + (f" The VM operation was {operation}." if operation else "")
            + f"{java}{_called_by(report)}"
            + (f" Its variable {bad.name} holds {bad.value:#x}, where no object lies." if bad is not None else "")
            + (
                ""
                if profiler is not None
                else damaged.sentence
                if damaged is not None
                else references.why(report)
                if bad is not None
                else _either(report, frame)
                if refused is None
                else _REFUSED.format(code=refused[1])
            )
            + _boot(report)
            + (_ARCHIVE if archive else "")
        ),
        rivals=(
            "A defect of the JVM in this place.",
            "A handler of signals that native code or an agent installed before the JVM's."
            if _probing(frame)
            else "Memory that native code, an agent, Unsafe or hardware had damaged before.",
            *((f"Bytecode that breaks the rules, as {off[1]} leaves classes unverified.",) if off is not None else ()),
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "raised by the CPU"),
            (bad.path if bad is not None else "", f"what {bad.name if bad is not None else ''} holds, no object"),
            (damaged.path if damaged is not None else "", "the overwritten header, and what lies before it"),
            (off[0] if off is not None else "", "classes are not verified"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, index), "where the JVM was"),
            (views.frame_path(report, index, "module_offset"), "offset in libjvm"),
            (views.frame_path(report, index, "module"), "the library"),
            ("jvm.vm_operation", "the VM operation"),
            ("jvm.version", "the version"),
            (views.frame_path(report, profiler[0], "module") if profiler is not None else "", "the profiler"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java code below"),
        ),
        remedies=(
            *((_VERIFY,) if refused is not None else ()),
            *(
                (f"Run without {profiler[1]}, or update it and the JDK.",)
                if profiler is not None
                else ("Stop the profiler or JFR recording and see whether the crashes stop; update it.",)
                if sampling
                else ()
            ),
            *boot_remedy(report),
            *((damaged.remedy,) if damaged is not None else references.remedies(report)),
            *((_WITHOUT_ARCHIVE,) if archive or work == _ARCHIVING else ()),
            f"Search the JDK's bug database for {label}, and update to the newest release of this version.",
            (
                f"Run {'' if jvm_views.checks_jni(report) else 'with -Xcheck:jni and '}without agents and native"
                " libraries that can be left out."
            ),
            *((_VERIFY,) if refused is None and not _probing(frame) else ()),
        ),
    )


def _probing(frame: Frame) -> bool:
    """SafeFetch reads what may be no memory, for the JVM to find that out."""
    return frame.kind == "stub" and _PROBES.match(frame.function or "") is not None


def _either(report: Report, frame: Frame) -> str:
    if not _probing(frame):
        return _EITHER
    silicon = system(report).name == "macos" and report.core.machine == "aarch64"
    return _PROBED + (_NOT_EXECUTABLE if silicon and jvm_views.fault_name(report) == "SIGBUS" else "")


_PROBES = Lazy(r"SafeFetch")
_PROBED = (
    " It reads an address that may be no memory, on purpose: the JVM's handler lets the thread go on where that faults."
    " So a bad address alone does not end the JVM here; its handler did not see the fault, or did not take it for one"
    " of this place."
)
_NOT_EXECUTABLE = (
    " With Apple's CPUs a thread that may write generated code may not execute it, this stub neither: a read that a"
    " profiler's signal asked for at such a moment ends so. JDK 19 and newer have SafeFetch outside of generated code"
    " (JDK-8283326)."
)
_VERIFY = (
    "Run with -XX:+UnlockDiagnosticVMOptions -XX:+VerifyBeforeGC -XX:+VerifyAfterGC to see whether the heap is"
    " damaged, and test the machine's memory if only one is concerned."
)
_REFUSED = (
    " It only read the name of an object's class there, as {code} had found that this does not fit: the object, or the"
    " class in its header, was most likely damaged by native code, an agent, Unsafe or hardware."
)
_SAMPLES = Lazy(r"AsyncGetCallTrace|forte_fill_call_trace")
_INTERRUPTED = (
    " The profiler's signal handler interrupts a thread anywhere and asks the JVM to walk a stack that need not be"
    " whole"
    " at that moment: what the thread itself was at has no part in it."
)
_EITHER = (
    " Either the JVM has a defect there, or it met memory that native code, an agent, Unsafe or hardware had damaged."
)


_ARCHIVE = (
    " The JVM was starting up from a class data sharing (CDS) archive; a file that was damaged or cut after it was made"
    " shows in this way."
)
_WITHOUT_ARCHIVE = "Start with -Xshare:off; if that works, make the archive anew (-Xshare:dump)."


def _owner(report: Report) -> str:
    """The innermost Java method, whose variables the report has."""
    java = jvm_frames.site(report).java
    return culprit.label(java[1]) if java is not None else "Java code"


def _starts_from_archive(report: Report) -> bool:
    """The thread makes the JVM, with a CDS archive mapped."""
    return any(plain(frame.function or "") == "JNI_CreateJavaVM" for frame in views.crashing_frames(report)) and any(
        mapping.kind == "cds archive" for mapping in report.mappings
    )


def _freed(report: Report, index: int) -> int | None:
    """The frame in a part of the code cache that no code uses: the one at `index`, or what had called its stub."""
    for number, frame in enumerate(views.crashing_frames(report)[index:], index):
        if frame.kind != "stub":
            return None
        if "unused part" in (frame.function or ""):
            return number
    return None


def _freed_code(report: Report, index: int) -> Finding:
    """Execution led through memory of the code cache that no code uses."""
    name = jvm_views.fault_name(report)
    caller = jvm_frames.java_caller(report)
    by = f" by {culprit.label(caller[1])}" if caller else ""
    return Finding(
        rule=RULE.id,
        title=f"{name} after a call of code that was freed from the code cache{by}",
        severity="critical",
        confidence="likely",
        claim="observation",
        explanation=(
            f"The stack leads through a part of the code cache in which no code is: {name}. Code that lay there was"
            " freed while something still called it. Native code that keeps an upcall stub of java.lang.foreign after"
            " its arena was closed does so."
        ),
        rivals=("A defect of the JVM, which freed code in use.", "A damaged return address or function pointer."),
        evidence=proof(
            report,
            ("crash.signal.code_name", "raised by the CPU"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, index), "what lies at that place of the code cache"),
            ("crash.call_site", "the call before the return address"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java code below"),
        ),
        remedies=(
            upcall.REMEDY,
            "Update the JDK; if it goes on without upcalls, report it with this file.",
        ),
    )


def _profiler(report: Report) -> tuple[int, str] | None:
    """Index and library of the caller of AsyncGetCallTrace."""
    names = [
        index
        for index, frame in enumerate(views.crashing_frames(report))
        if frame.function is not None and _SAMPLES.search(frame.function) and jvm_frames.is_vm(frame)
    ]
    for index, frame in enumerate(views.crashing_frames(report)[names[-1] + 1 :], names[-1] + 1) if names else ():
        if frame.module is None or frame.trust == "scan" or jvm_frames.is_vm(frame):
            return None
        if not jvm_frames.is_system(frame.module):
            return index, file_name(frame.module)
    return None


def _dump(report: Report) -> Finding:
    """The VM listed its threads and met one whose native thread was no more."""
    found = jvm_threads.dumping(report)
    assert found is not None
    names = [plain(frame.function) for _, frame in jvm_frames.vm_frames(report) if frame.function is not None]
    of_vm = any(re.search(r"NamedThread|gc_threads_on|print_threads_on|NonJavaThread", name) for name in names)
    clock = views.first_named(report, lambda name: name.endswith("pthread_getcpuclockid"))
    inner = " in pthread_getcpuclockid()" if clock is not None else ""
    which = "a thread of the VM's own" if of_vm else "a thread that native code attached and ended without detaching"
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    return Finding(
        rule=RULE.id,
        title=f"{jvm_views.fault_name(report)}{inner} during a thread dump: a thread in the VM's list had ended",
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"{jvm_views.fault_name(report)}{at} was raised as the VM listed its threads for a thread dump"
            f" (jstack, kill -3, a monitoring agent): it asked the system for the processor time of {which}, whose"
            " native thread no longer exists. The names of the collector or of the VM thread on the stack say nothing"
            f" about the heap.{_DUMP_OWN if of_vm else _DUMP_FOREIGN}"
        ),
        rivals=("A list of threads or a thread's data that something overwrote.",),
        evidence=proof(
            report,
            (views.frame_path(report, clock[0]) if clock is not None else "", "what was asked"),
            (views.frame_path(report, found[0]), "the listing of threads"),
            (views.fault_address_path(report), "the address that was touched"),
            ("jvm.vm_operation", "the VM operation"),
            ("jvm.version", "the version"),
        ),
        remedies=(
            (
                "Update the JDK: JDK-8329109 (mended in 21.0.4 and 22.0.2) is such a defect; until then let monitoring"
                " take no thread dumps, or fewer."
            )
            if of_vm
            else "Look for native code that calls AttachCurrentThread: each such thread must call DetachCurrentThread"
            " before it ends (a pthread key's destructor does it for all ways out).",
            "Run without agents and monitoring that take thread dumps, to see whether the crashes stop.",
            f"Search the JDK's bug database for {culprit.label(found[1])}, and update to the newest release.",
        ),
    )


_DUMP_OWN = (
    " A thread of the collector ends where the VM uses fewer of them, or was never wholly started; listing it at that"
    " moment is a defect of the JVM."
)
_DUMP_FOREIGN = " A JavaThread outlives its native thread only where that was attached through JNI and ended first."


def _called_by(report: Report) -> str:
    """The library that had called the JVM, as an agent does from its callbacks."""
    found = jvm_frames.library_frame(report)
    if found is None or found[1].trust == "scan":
        return ""
    return f" {culprit.label(found[1])} of {file_name(found[1].module or '')} had called the JVM there."


def _boot(report: Report) -> str:
    found = boot_path(report)
    if found is None:
        return ""
    option = found.partition(":")[0]
    return (
        f" {option} puts other classes in the place of the JDK's own: where they are of another version, the JVM's own"
        " knowledge of their fields is wrong."
    )


def _place(report: Report) -> tuple[int, Frame] | None:
    """The frame of the JVM that faulted, libc's own above it left out."""
    for index, frame in jvm_frames.site(report).native:
        if frame.trust == "scan":
            return None
        if frame.module is None and frame.kind in ("native", "unknown") and not views.pc_is_fault(report):
            return None  # Generated code, of Java methods or of a library: no code of the JVM's own.
        if jvm_frames.is_downcall(frame):
            return None  # Native code that Java called faulted; its frames are missing.
        if frame.kind == "stub" or jvm_frames.is_vm(frame):
            return index, frame
        if frame.module is not None and not jvm_frames.is_system(frame.module):
            return None
    return None


def _explained(report: Report) -> bool:
    """A rule of its own says more about this place."""
    return (
        jvm_threads.role(report) == "compiler"
        or jvm_threads.collecting(report) is not None
        or jvm_stack.in_stack_guard(report)
        or jvm_frames.through_jni(report) is not None
        or unrelocated.call(report) is not None
        or upcall.callback(report) is not None
        or next(jvm_crash_in_interpreter.check(report), None) is not None
        or jvm_views.foreign_handler(report) is not None
        or jvm_views.internal_error(report) is not None
        or any(
            next(check(report), None) is not None
            for check in (
                jvm_arithmetic_fault.check,
                jvm_bad_jni_reference.check,
                jvm_crash_in_compiled_code.check,
                jvm_truncated_mapped_file.check,
                jvm_unsafe_access.check,
            )
        )
    )


RULE = Rule(id="jvm-vm-code-crash", group="jvm", specificity=77, check=check, documentation=__doc__ or "")
