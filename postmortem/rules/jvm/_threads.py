"""What the crashing thread is to the VM, and whether it was at work for the collector."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views

if TYPE_CHECKING:
    from postmortem.model import Frame, Report, Thread

Role = Literal["java", "compiler", "gc", "vm", "other"]
_GC_THREAD = Lazy(
    r"GC |GC_|G1 |Gang worker|ParGC|GCTask|GC task|Concurrent Mark-Sweep|CMS |Shenandoah|[ZX](?:Worker|Driver|Director"
    r"|Stat|Unmapper|Uncommitter|Mark|Reloc)|Concurrent(?:G1)?Refine|StringDedup|ParallelGC"
)
_GC_KIND = Lazy(
    r"(?:GC ?worker|GCTaskThread|(?:Abstract|YieldingFlexible)?GangWorker|WorkerThread|GC Thread|ConcurrentGCThread"
    r"|ConcurrentMarkSweepThread|G1\w+Thread|ConcurrentG1RefineThread|ConcurrentMarkThread|Shenandoah\w*Thread"
    r"|[ZX](?:Driver|Director|Stat|Thread|RuntimeWorker|Worker)\w*|StringDedupThread)",
    re.IGNORECASE,
)
_GC_OPERATION = Lazy(
    r"Collect|GC|CMS|Pause|Verify|Shenandoah|^[ZX](?:Mark|Operation|Verify|Rendezvous)|MarkStart|RelocateStart"
    r"|G1Concurrent|HeapInspection|HeapWalk|HeapDump|InitMark|FinalMark"
)
_GC_FUNCTION = Lazy(
    r"(?:G1\w*|PS\w*(?:Promotion|Scavenge|Mark|Compact|Roots|KeepAlive|Evacuate|Adjust)\w*"
    r"|Par(?:Compaction|MarkBitMap|allelScavenge)\w*|MarkSweep"
    r"|SerialFullGC|GenMarkSweep|DefNew\w*|Tenured\w*|Serial\w*Heap|CMS\w*|Shenandoah\w+|[ZX](?:Mark|Heap|Relocat\w*"
    r"|Barrier|Driver|Verify|Generation\w*|Page\w*|RootsIterator)\w*|Verify\w*Closure|\w*HeapVerifier"
    r"|\w*MarkAndPush\w*|GCTaskThread|ReferenceProcessor)(?:::|$)"
)
_GC_ITERATION = Lazy(
    r"(?:\w+ )?OopOopIterate\w*Dispatch<((?:G1|PS|PC|Shenandoah|[ZX](?=[A-Z])|CMS|Mark|Follow|Push|DefNew|Par)"
    r"\w*Closure)>"
)
"""The collector's walk through an object: the closure, which its plain name leaves out, is the collector's."""
_DUMP = Lazy(
    r"Threads::print_on|(?:Named|Java|NonJava)?Thread::print_on\b|\w+::print_(?:gc_)?threads_on|VM_PrintThreads::doit"
    r"|VM_ThreadDump::doit|VM_PrintAllThreads|os::thread_cpu_time"
)
COMPILERS = {
    "C1": Lazy(
        r"(?:Compilation|GraphBuilder|LinearScan\w*|LIR\w*|IR|IRScope|Canonicalizer|ValueMap|ValueStack|BlockBegin|C1\w*"
        r"|GlobalValueNumbering|RangeCheckElimination\w*)::"
    ),
    "C2": Lazy(
        r"(?:Compile|C2Compiler|Phase\w+|Parse|Matcher|(?!VirtualSpace|Buffer|LinkedList|Metaspace)\w*Node|Node_\w+"
        r"|GraphKit|ConnectionGraph|IdealLoopTree|SuperWord|VLoop\w*|LiveRange\w*|RegMask|State|InlineTree|MergeMem\w*"
        r"|Type(?:Int|Long|Ptr|\w+Ptr|Tuple|Func|Ary|F|D|Vect\w*|Narrow\w+)?|BarrierSetC2\w*|\w+BarrierSetC2)::"
    ),
    "JIT": Lazy(r"ci[A-Z]\w*::"),
}
"""Classes of the VM whose code only a compiler's thread runs; the last is what both compilers see of classes."""
_COMPILER_THREAD = Lazy(r"(?:C1|C2|JVMCI|Graal)[- ]?Compiler ?Thre\w*|CompilerThread\d+")


def role(report: Report) -> Role | None:
    """What the crashing thread is to the VM; None when neither the VM, nor its name, nor its frames tell."""
    found = views.crashing_thread(report)
    if found is None:
        return None
    thread = found[1]
    kind = (thread.java.kind if thread.java is not None else None) or ""
    name = thread_name(thread) or ""
    tasks = report.jvm.compilations if report.jvm is not None else ()
    if thread.tid is not None and any(task.tid == thread.tid for task in tasks):
        return "compiler"
    if "Compiler" in kind or _COMPILER_THREAD.fullmatch(name):
        return "compiler"
    if "VMThread" in kind or kind == "VM Thread" or (name == "VM Thread" and kind != "JavaThread"):
        return "vm"
    if kind == "JavaThread":
        return "java"
    if _GC_THREAD.match(name) or _GC_KIND.fullmatch(kind):
        return "gc"
    if any(jvm_frames.is_java(frame) for frame in thread.frames) or "JavaThread" in kind:
        return "java"
    return _role_by_frames(thread) or ("other" if kind else "compiler" if compiler_code(report) is not None else None)


def compiler_code(report: Report) -> str | None:
    """Whose code the innermost frames are, on a thread that nothing else names: "C1", "C2", "JIT" for either."""
    return next((name for name, code in COMPILERS.items() if jvm_frames.named_vm_frame(report, code)), None)


def in_launcher(report: Report) -> bool:
    """A log's frame in the program that started the JVM, which the VM itself had called: no code of the program's.

    The launcher calls the VM and is not called by it; a name and an offset there are of a jump that went astray.
    """
    found = jvm_frames.library_frame(report)
    frames = views.crashing_frames(report)
    if found is None or not views.is_log(report) or "." in (found[1].module or ".").rsplit("/", 1)[-1]:
        return False
    return role(report) in ("compiler", "gc", "vm") and any(map(jvm_frames.is_vm, frames[found[0] + 1 : found[0] + 2]))


def _role_by_frames(thread: Thread) -> Role | None:
    """From the loop that a thread of the VM runs at the bottom of its stack."""
    names = {plain(f.function) for f in thread.frames if f.function is not None and jvm_frames.is_vm(f)}
    if "CompileBroker::compiler_thread_loop" in names:
        return "compiler"
    if "VMThread::run" in names:
        return "vm"
    loops = {"GangWorker::loop", "GangWorker::run", "WorkerThread::run", "GCTaskThread::run", "ConcurrentGCThread::run"}
    if names & loops:
        return "gc"
    return "java" if "JavaThread::thread_main_inner" in names else None


def thread_name(thread: Thread) -> str | None:
    """The name the VM gave the thread, else the kernel's."""
    return (thread.java.name if thread.java is not None else None) or thread.name


def crashing_name(report: Report) -> str | None:
    """The crashing thread's name, as `thread_name`."""
    found = views.crashing_thread(report)
    return thread_name(found[1]) if found is not None else None


def thread_words(report: Report) -> str:
    """'thread "GC Thread#0" (GCTaskThread)'; "a thread that the JVM does not know" when it has no name."""
    found = views.crashing_thread(report)
    if found is None:
        return "a thread that is not known"
    thread = found[1]
    name = thread_name(thread)
    kind = thread.java.kind if thread.java is not None else None
    number = "a thread that is not named" if thread.tid is None else f"thread {thread.tid}"
    text = f'thread "{name}"' if name else number
    return f"{text} ({kind})" if kind and kind not in text else text


def thread_path(report: Report, member: str) -> str:
    """Path of a member of the crashing thread."""
    found = views.crashing_thread(report)
    return f"threads[{found[0] if found else 0}].{member}"


def collecting(report: Report) -> tuple[str, str] | None:
    """(where, words) of what says that the crashing thread was at work for the collector; None if nothing does."""
    who = role(report)
    if dumping(report) is not None:
        return None
    if who == "gc":
        found = views.crashing_thread(report)
        named = found is not None and found[1].java is not None and found[1].java.name is not None
        place = thread_path(report, "java.name" if named else "java.kind" if _has_kind(report) else "name")
        return place, "a thread of the collector"
    operation = report.jvm.vm_operation if report.jvm is not None else None
    if who in ("vm", None) and operation is not None and _GC_OPERATION.search(operation):
        return "jvm.vm_operation", "the VM was in this operation"
    if who in ("vm", None):
        frame = jvm_frames.named_vm_frame(report, _GC_FUNCTION) or _iterated(report)
        if frame is not None:
            return views.frame_path(report, frame[0]), "a function of the collector"
        heap = jvm_views.heap(report)
        if heap is not None and heap.gc_active and _only_vm(report):
            return "jvm.heap.gc_active", "a collection was running, and this thread is the VM's own"
    return None


def iterating(function: str) -> str:
    """The closure of the collector with which a function walks through an object; "" for any other function."""
    found = _GC_ITERATION.match(function)
    return found[1] if found is not None else ""


def _iterated(report: Report) -> tuple[int, Frame] | None:
    return next(
        (item for item in jvm_frames.vm_frames(report) if iterating(item[1].function or "")),
        None,
    )


def dumping(report: Report) -> tuple[int, Frame] | None:
    """The VM's function that lists threads, with their times and states, for a thread dump or a log of its own."""
    return jvm_frames.named_vm_frame(report, _DUMP)


def _has_kind(report: Report) -> bool:
    found = views.crashing_thread(report)
    return found is not None and found[1].java is not None and found[1].java.kind is not None


def _only_vm(report: Report) -> bool:
    """A thread without Java frames and without a foreign library: one of the VM's own."""
    where = jvm_frames.site(report)
    return (
        where.java is None
        and jvm_frames.library_frame(report) is None
        and any(jvm_frames.is_vm(frame) for _, frame in where.native)
    )
