"""Bad address given to Unsafe.

What it finds: a fault in Unsafe's accessors, in the VM's code for them or where a JIT compiled them inline; also in
what stands on them: direct buffers, memory segments.
Why it matters: the address came from Java code; neither the JVM nor the JIT is at fault.
Evidence it needs: a function Unsafe_… of libjvm, or an Unsafe method as the innermost Java frame of the fault.
False alarms: a compiled frame's innermost method is that of the next recorded position; it may be off by one.
Rivals excluded: a fault of compiled code on an object: the accessor is the innermost frame; a stack overflow; a page
of a mapped file that is gone.
What to do: look at the Java caller: an address freed, never set, or computed beyond its block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Confidence, Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit, pointers
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _stack as jvm_stack
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSAFE = Lazy(r"Unsafe_\w+")
LARGEST_OFFSET = 1 << 16
LARGEST_ADDRESS = 1 << 47
_OWN = (None, "r15", "rsp", "rbp", "rip")
_MALLOC = ("malloc", "heap")

_THROUGH = {
    "java.nio.Direct": (
        "It went through a direct buffer, which checks its index: the memory behind it was freed while it was in use"
        " (Unsafe.invokeCleaner, an unmapped file), or native code made it with a wrong address or size"
        " (NewDirectByteBuffer)."
    ),
    "jdk.internal.foreign.": (
        "It went through a MemorySegment, which checks bounds and life: the segment claims more than there is, as after"
        " reinterpret(), or native code freed what it stands for."
    ),
}
"""What checks an access before it is made, by the start of its methods' names."""

_INLINES = Lazy(r"inlines ([\w.$]+)")
_USES = Lazy(r"part of it is ([\w.$<>]+), whose class uses ([\w.$]+)")
_INLINED_BY = Lazy(r"inlines ([\w.$]+) called by ([\w.$<>]+):(\w+)")
_DIRECT = Lazy(r"java\.nio\.Direct(\w+?)Buffer\w*\.")

_SAFER = (
    "Java 22 and newer: java.lang.foreign.MemorySegment checks bounds and life;"
    " --sun-misc-unsafe-memory-access=deny finds the callers of Unsafe (Java 23)."
)


RIVALS = ("A damaged reference or object that compiled code used with the same instruction.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    if not jvm_views.memory_fault(report) or jvm_views.lost_page(report) or not jvm_views.is_jvm(report):
        return
    if jvm_stack.in_stack_guard(report) or jvm_views.foreign_handler(report) is not None:
        return
    found = _accessor(report)
    if found is None:
        return
    index, frame, confidence, how = found
    address = views.fault_address(report)
    bad = f"Bad address {address:#x}" if address is not None else "Bad address"
    at = f" at {address:#x}" if address is not None else ""
    caller = jvm_frames.java_caller(report, index if jvm_frames.is_java(frame) else -1)
    by = f", called by {jvm_frames.java_place(caller[1])}," if caller else ""
    name = _name(frame)
    title = f"{bad} given to {name}" + (f" by {culprit.label(caller[1])}" if caller else "")
    if jvm_frames.is_java(frame) and not jvm_frames.raw_memory(frame):
        name = f"Raw memory access ({_kinds(report)})"
        caller = (index, frame)
        by = f", compiled into {jvm_frames.java_place(frame)},"
        title = f"{bad} in raw memory access ({_kinds(report)}) of {culprit.label(frame)}"
        inlined = _INLINED_BY.search(frame.note or "")
        if inlined is not None:
            name = f"{_accessor_name(inlined[1])}()"
            at_line = f", line {inlined[3]}" if inlined[3].isdigit() else ""
            title = f"{bad} given to {name} by {inlined[2]}(){at_line}"
    through = _through(report)
    yield Finding(
        rule=RULE.id,
        title=title,
        severity="critical",
        confidence=confidence,
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"{name}{by} made {views.an_access(report)}{at}, which raised {jvm_views.fault_name(report)}. {how}"
            f" {_reading(report, address)} "
            + (
                _THROUGH[through]
                if through
                else "The address is a plain number that Java code computed; the JVM checks neither its bounds nor its"
                " life."
            )
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the signal"),
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.fault_address_text", "what lies there"),
            (views.frame_path(report, index), "the accessor"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java caller"),
            (views.frame_path(report, caller[0], "line") if caller else "", "its line"),
            (views.frame_path(report, caller[0], "bci") if caller else "", "its bytecode index"),
            ("crash.instruction", "the faulting instruction"),
        ),
        remedies=(
            f"Look at {jvm_frames.java_place(caller[1]) if caller else 'the Java caller'}: where the address or offset"
            " comes from, whether the block was freed (freeMemory, a Cleaner, a closed Arena), and how large it is.",
            "If a library does it (a serializer, a cache off the heap, Netty, a database driver), update it, or turn"
            " off its use of Unsafe (-Dio.netty.noUnsafe=true and the like).",
            *([] if through else [_SAFER]),
        ),
    )


def _kinds(report: Report) -> str:
    """What an access of which only the address tells can have gone through."""
    major = jvm_views.major(report)
    if major is not None and major >= _SEGMENTS:
        return "Unsafe, a direct buffer or a memory segment"
    return "Unsafe or a direct buffer"


_SEGMENTS = 22
"""java.lang.foreign is no preview any more (JEP 454)."""


def _through(report: Report) -> str | None:
    """Which of _THROUGH called the accessor."""
    for frame in views.crashing_frames(report):
        if not jvm_frames.is_java(frame):
            continue
        inlined = _INLINES.search(frame.note or "")
        if inlined is not None:
            return next((start for start in _THROUGH if inlined[1].startswith(start)), None)
        name = frame.function or ""
        if not name.startswith(("jdk.", "java.", "sun.")):
            if not frame.inlined:
                return None
            continue
        for start in _THROUGH:
            if name.startswith(start):
                return start
    return None


def _accessor(report: Report) -> tuple[int, Frame, Confidence, str] | None:
    """Index and frame of the accessor, how sure, and a sentence on where it ran."""
    frames = views.crashing_frames(report)
    if not frames:
        return None
    where = jvm_frames.site(report)
    library = jvm_frames.library_frame(report)
    entry = jvm_frames.named_vm_frame(report, UNSAFE)
    if entry is not None and library is None:
        return *entry, "certain", "The fault is in the JVM's own code for this accessor."
    if where.java is None or library is not None:
        return None
    index, frame = where.java
    above = [item for _, item in where.native]
    if above and all(jvm_frames.is_vm(f) or f.kind == "stub" or _libc(f) for f in above):
        # Natives of Unsafe in a libjvm without symbols: their native method is the innermost Java frame.
        if jvm_frames.raw_memory(frame):
            return index, frame, "certain", "The fault is below this native method, in code of the JVM."
        if above[0].kind != "stub" or len(above) > 1:
            return None
    chain = jvm_frames.activation(report, index)
    for number, (_, first) in enumerate(chain):
        if jvm_frames.raw_memory(first):
            # What the program called: the accessor below its helpers (convEndian, Bits.swap, checkIndex).
            behind = (n for n, (_, item) in enumerate(chain) if n > number and not jvm_frames.raw_memory(item))
            position, item = chain[next(behind, len(chain)) - 1]
            level = jvm_frames.level_name(item.compile_level)
            inline = f"The accessor was compiled inline ({level})." if frame.kind == "java-compiled" else ""
            # The whole method is the accessor, or the position on record is that of the fault.
            exact = item is chain[-1][1] or "next recorded" not in (chain[-1][1].note or "")
            sure: Confidence = "certain" if not number and exact and jvm_frames.of_jdk(first) else "likely"
            return position, item, sure, inline or "The interpreter ran it."
    if above or frame.kind != "java-compiled" or jvm_frames.is_wrapper(frame):
        return None
    return _inlined(report, index)


def _inlined(report: Report, index: int) -> tuple[int, Frame, Confidence, str] | None:
    """An access that leaves no trace in the debug information: told by the shape of its operand."""
    found = jvm_views.raw_operand(report)
    chain = jvm_frames.activation(report, index)
    if not chain:
        return None
    root = chain[-1]
    inlined = _INLINES.findall(root[1].note or "")
    if inlined and _no_reference(report):
        return (
            *root,
            "likely",
            f"This code has inlined {' and '.join(inlined)}. No compressed reference stands for the address that was"
            " touched, which lies beyond the Java heap; so it is no object's, but what such an accessor was given.",
        )
    user = _USES.search(root[1].note or "")
    if user is not None and _no_reference(report) and _no_class(report):
        return (
            *root,
            "likely",
            f"This code has {user[1]}() in it, whose class uses {user[2]}; C2 keeps no record of such an accessor. No"
            " compressed reference stands for the address that was touched, which lies beyond the Java heap, and"
            f" {report.crash.instruction} reads nothing that a class holds there.",
        )
    block = _of_malloc(report) if found is None else None
    if block is not None:
        return (
            *root,
            "likely",
            f"The address is {block}: no object is there, and no compressed reference leads there. Compiled code takes"
            " such an address from raw memory access compiled inline (Unsafe, direct buffers, memory segments).",
        )
    if found is None:
        return None
    operand, only = found
    if (inlined and not only) or _no_reference(report):
        only = operand.size <= 8 and operand.index is None
    return (
        *root,
        "likely" if only else "possible",
        f"The instruction takes {operand.text} for the address as it is. Compiled code reaches objects at an offset"
        " behind their header, and elements after it has read the array's length; only raw memory access compiled"
        " inline (Unsafe, direct buffers, memory segments) uses a bare address.",
    )


def _no_class(report: Report) -> bool:
    """The access is none that compiled code makes through the class of an object, whose damaged word could lead
    anywhere: that reads numbers of four bytes below the first pointers of a Klass, and pointers behind them."""
    found = views.faulting_operand(report)
    if found is None or found[1].base in _OWN:
        return False
    operand = found[1]
    if operand.index is not None or operand.size < _INT:
        return True
    return operand.displacement == 0 or (operand.size == 2 * _INT and 0 < operand.displacement < _CLASS_POINTERS)


_INT = 4
_CLASS_POINTERS = 0x20
"""Offset in a Klass of the first pointer that compiled code reads, the cache of the last superclass found."""


def _of_malloc(report: Report) -> str | None:
    """Where the address lies in memory of malloc or just behind it; None where it does not, or may be an object's.

    The thread's own structure lies there, too, which compiled code reaches through r15.
    """
    operand, address = views.faulting_operand(report), views.fault_address(report)
    if operand is None or address is None or operand[1].base in _OWN or not _no_reference(report):
        return None
    below, _ = views.neighbours(report, address)
    found = views.mapping_at(report, address) or below
    if found is None or not (found[1].kind or "").startswith(_MALLOC):
        return None
    behind = address - found[1].end
    if behind >= views.FIRST_PAGE:
        return None
    name = "a malloc arena" if found[1].kind == "malloc arena" else "memory of malloc"
    return f"in {name}" if behind < 0 else f"just behind {name}"


def _no_reference(report: Report) -> bool:
    """The address is one that no compressed reference, nor a field behind one, can have."""
    flag, base = jvm_views.flag(report, "UseCompressedOops"), jvm_views.number_flag(report, "ObjectAlignmentInBytes")
    address = views.fault_address(report)
    if flag is None or flag[1] != "true" or address is None:
        return False
    heap = jvm_views.heap(report)
    ends = [space.end for space in heap.spaces if space.end] if heap is not None else []
    starts = [space.start for space in heap.spaces if space.start] if heap is not None else []
    reach = (1 << 32) * (base or 8)
    # Based at zero, or just below a heap that lies higher.
    return address >= max(ends, default=0) + reach or (bool(starts) and reach < address < min(starts) - reach)


def _accessor_name(function: str) -> str:
    """ "java.nio.DirectByteBuffer.getLong" is what a program knows as java.nio.ByteBuffer.getLong."""
    return _DIRECT.sub(r"java.nio.\1Buffer.", function)


def _libc(frame: Frame) -> bool:
    return frame.module is not None and jvm_frames.is_system(frame.module)


def _name(frame: Frame) -> str:
    if frame.function is None:
        return "Unsafe"
    if jvm_frames.is_java(frame):
        return f"{_accessor_name(frame.function)}()"
    return f"{plain(frame.function)}() of the JVM"


def _reading(report: Report, address: int | None) -> str:
    wild = address or next((int(item.address) for item in report.crash.operands if not item.canonical), 0)
    text = pointers.as_text(wild) or pointers.as_wide_text(wild)
    if text is not None:
        return f"The bytes of {wild:#x} are text, {text!r}, which stands where the address was kept."
    if address is None:
        return "The CPU gives no address for it: it is not a canonical one, so it never came from allocateMemory."
    if LARGEST_ADDRESS <= address < (1 << 64) - LARGEST_ADDRESS:
        return f"{address:#x} is not a canonical address, so it never came from allocateMemory: a wild value."
    if address < LARGEST_OFFSET:
        return (
            f"{address:#x} is a small number: an offset used without its object (the base was null), or an address that"
            " was never set."
        )
    mapped = {
        views.SEGV_MAPERR: "Nothing is mapped there",
        views.SEGV_ACCERR: "Memory is mapped there, but not for this access",
    }
    known = mapped.get(views.code(report) or 0, "Nothing is mapped there, or not for this access")
    return f"{known}: freed memory, a wild value, or an index beyond the block."


RULE = Rule(id="jvm-unsafe-access", group="jvm", specificity=84, check=check, documentation=__doc__ or "")
