"""Crash of the garbage collector.

What it finds: a fault or a failed check on a thread of the collector, or on the VM thread in a GC operation.
Why it matters: the collector reads every object; it is the first to meet one that was damaged long before.
Evidence it needs: the crashing thread's kind or name, the VM operation, a function of the collector, or a collection
that was running while one of the VM's own threads faulted.
False alarms: the collector itself is seldom at fault; the finding says where, the cause lies earlier.
Rivals excluded: a fault of a library, or of a thread that does no work for the collector; a page of a file that is
gone; an address of the heap whose mapping does not permit the access.
What to do: verify the heap around each collection to find when the damage is done; suspect JNI, Unsafe, hardware.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Frame, Operand, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit, pointers
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.suspects import suspects
from postmortem.rules import advice
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
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_PHASES = (
    (Lazy(r"MetadataOnStackMark"), "cleaning of the metadata of classes"),
    (Lazy(r"[Vv]erif"), "verification of the heap"),
    (Lazy(r"(?<!un)[Mm]ark(?!Word)|follow_|[Cc]oncurrentMark|push_objArray"), "marking of live objects"),
    (Lazy(r"[Ee]vacuat|ParScan|copy_to_survivor|Scaveng|DefNew|Promotion|do_copy"), "evacuation of live objects"),
    (Lazy(r"[Cc]ompact|[Aa]djust|Prepare|[Ff]orward|Relocat"), "compaction"),
    (Lazy(r"[Rr]efine|RemSet|Card"), "work on remembered sets"),
    (Lazy(r"Reference(?:Processor|s)|WeakProcessor"), "work on references"),
    (Lazy(r"ClassUnload|[Uu]nloading|CodeCache"), "class and code unloading"),
    (Lazy(r"HeapDump|HeapInspection|object_iterate"), "a walk through the heap"),
)
_VERIFICATION = Lazy(r"[Vv]erif(?:y|ier|ication)|there should not have been any failures")
"""The VM's own walk over all objects says so (g1HeapVerifier.cpp, shenandoahVerifier.cpp, zVerify.cpp, …)."""
_UNSEEN = (
    " The collector follows every reference, so it is the first to meet one that is bad; whether one was, this report"
    " does not show. Where one was, whoever overwrote it was at work earlier, often long before."
)
_SEEN = (
    " The collector follows every reference, so it is the first to meet a bad one; whoever wrote it was at work"
    " earlier, often long before. Suspects, most usual first: native code that writes beyond its buffer or keeps a"
    " pointer into"
    " the heap after release (GetPrimitiveArrayCritical), Unsafe, the JIT, memory of the machine, the collector itself."
)
_STALE = (
    " The reference leads into the middle of a whole object: it is stale, one that was not updated when its object"
    " moved or was freed, rather than overwritten."
)
_RIVALS = (
    "An object or reference that native code, Unsafe or hardware overwrote earlier.",
    "A defect of the collector or of the JIT's barriers, which left a reference behind.",
)
_RIVALS_STALE = (
    "A defect of the collector or of the JIT's barriers and oop maps: it left the reference behind.",
    "Native code that kept a raw pointer into the heap.",
)


_MADE_WITHIN = 6
_LEAST_INDEX = 1 << 32
_NOT_GENERAL = ("rip", "eflags", "fs_base", "gs_base", "pc", "cpsr")


class Damage(NamedTuple):
    """A bad value that the collector followed: its path, a sentence, a few words; stale: it leads into an object."""

    where: str
    text: str
    brief: str
    stale: bool = False


_FLAGS = {
    "g1": "-XX:+UseParallelGC",
    "parallel": "-XX:+UseSerialGC",
    "serial": "-XX:+UseParallelGC",
}


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    failed = jvm_views.internal_error(report)
    if not (jvm_views.own_fault(report) or failed is not None) or jvm_views.lost_page(report):
        return
    if jvm_frames.library_frame(report) is not None or jvm_stack.in_stack_guard(report):
        return
    found = jvm_threads.collecting(report)
    if found is None or _protected(report):
        return
    where, words = found
    frames = jvm_frames.vm_frames(report)
    inside = next((item for item in frames if item[1].function is not None), None)
    phase = _phase(
        [jvm_threads.iterating(f.function) or plain(f.function) for _, f in frames if f.function is not None]
    )
    collector = jvm_views.collector(report) or _collector(frames)
    operation = report.jvm.vm_operation if report.jvm is not None else None
    name = jvm_views.fault_name(report) if failed is None else "Failed check"
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None and failed is None else ""
    of = f"{collector} " if collector else ""
    during = f" during {phase}" if phase else ""
    behind = references.damaged(report)
    damage = _damage(report) if failed is None and not (behind and behind.whole) else None
    verified = failed is not None and _VERIFICATION.search(f"{failed.file or ''} {failed.message or ''}") is not None
    words_said = jvm_views.error_words(failed) if failed is not None else ""
    said = f" It said: {words_said}." if words_said else ""
    yield Finding(
        rule=RULE.id,
        title=(
            f"Verification of the heap failed in the {of}garbage collector: the Java heap is damaged"
            if verified
            else f"{name} in the {of}garbage collector{during}{_bad(damage)}{references.ending(behind)}"
        ),
        severity="critical",
        confidence="likely" if where == "jvm.heap.gc_active" else "certain",
        claim="cause" if verified else "observation",
        explanation=(
            f"{name}{at} on {jvm_threads.thread_words(report)}{_in(inside)}{during}"
            + (f", in the VM operation {operation}" if operation else "")
            + f".{said}{damage.text if damage is not None else ''}{_reading(address)}"
            + (
                behind.sentence
                if behind is not None
                else (_STALE if damage is not None and damage.stale else _SEEN if damage is not None else _UNSEEN)
                + suspects(report)
            )
        ),
        rivals=_RIVALS_STALE if damage is not None and damage.stale else _RIVALS,
        evidence=proof(
            report,
            (where, words),
            (jvm_threads.thread_path(report, "java.kind"), "the crashing thread's kind"),
            ("jvm.vm_operation", "the VM operation"),
            ("jvm.heap.collector", "the collector"),
            ("jvm.heap.gc_active" if _active(report) else "", "a collection was running"),
            (views.frame_path(report, inside[0]) if inside else "", "where the collector was"),
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.instruction", "the faulting instruction"),
            (damage.where if damage is not None else "", "the value that was followed"),
            (behind.path if behind is not None else "", "the overwritten header"),
            ("jvm.error.message", "what the check said"),
        ),
        remedies=(
            *((behind.remedy,) if behind is not None else ()),
            "Find when the damage is done: -XX:+UnlockDiagnosticVMOptions -XX:+VerifyBeforeGC -XX:+VerifyAfterGC"
            + (" (ZGC: -XX:+ZVerifyRoots -XX:+ZVerifyObjects)" if (collector or "").lower().startswith("z") else "")
            + ". Damage found before a collection was done by the program, after it by the collector.",
            "Run with -Xcheck:jni, and without agents and native libraries that can be left out"
            " (Modules lists those outside of the JDK).",
            f"Run with another collector ({_other(collector)}): the same damage shown there clears the collector.",
            "Run with -XX:TieredStopAtLevel=1 for a while: it clears C2.",
            advice.memory_test(report),
        ),
    )


_BY_NAME = (
    (Lazy(r"G1"), "G1"),
    (Lazy(r"PS[A-Z]|ParCompaction|ParallelScavenge"), "Parallel"),
    (Lazy(r"CMS|ConcurrentMarkSweep|ParNew"), "CMS"),
    (Lazy(r"Shenandoah"), "Shenandoah"),
    (Lazy(r"[ZX](?:Mark|Heap|Relocat|Barrier|Driver|Page)"), "Z"),
    (Lazy(r"GenMarkSweep|DefNew|SerialFullGC|TenuredGen"), "Serial"),
)
"""The collector by the names of its classes, where the log names it nowhere else (JDK 5 to 7)."""


def _collector(frames: tuple[tuple[int, Frame], ...]) -> str | None:
    names = [plain(frame.function) for _, frame in frames if frame.function is not None]
    return next((words for name in names for pattern, words in _BY_NAME if pattern.match(name)), None)


def _bad(damage: Damage | None) -> str:
    return f": it followed {damage.brief}" if damage is not None else ""


def _damage(report: Report) -> Damage | None:
    """The value that was taken for a reference or class, where registers show that it is none."""
    found = views.faulting_operand(report)
    operand = found[1] if found is not None else next(iter(report.crash.operands), None)
    if operand is None or operand.base in ("rsp", "rip", "sp"):
        return None
    indexed = _indexed(report)
    if indexed is not None:
        path, register, taken = indexed
        words = (
            f" {register} = {taken:#x} was taken for an object: the collector had made the index of its mark bits of"
            " it, and the address that faulted of that."
        )
        return Damage(path, words, f"a pointer that leads nowhere ({taken:#x})")
    notes = list(enumerate(report.crash.registers))
    if operand.index is None and _computed(report, operand):
        return None  # The address of an entry in a table of the collector, of which no register tells whose it is.
    if operand.index is not None:
        # A table that the reference indexes: the reference itself is in another register, if it can be told at all.
        text = next(((index, note) for index, note in notes if pointers.as_wide_text(note.value)), None)
        text = text or next(((index, note) for index, note in notes if pointers.as_text(note.value)), None)
        place, value = (text[0], text[1].value) if text is not None else (None, None)
        name = text[1].register if text is not None else None
    else:
        place = next((index for index, note in notes if note.register == operand.base), None)
        value, name = operand.base_value, operand.base
    if value is None or value < views.NEAR_NULL:
        return None
    looks = pointers.describe(value)
    nowhere = not operand.canonical or views.code(report) == views.SEGV_MAPERR or _reserved(report)
    if looks is None and (not nowhere or operand.index is not None):
        return None
    where = f"crash.registers[{place}].value" if place is not None else "crash.fault_address"
    inside = next((item for item in notes if "pointing into object" in item[1].text and item[1].value % 8 == 0), None)
    if inside is not None and looks is not None:
        held = f"{inside[1].register} = {inside[1].value:#x}"
        seen = f" {held} was taken for an object; the log says of it: {inside[1].text}. {looks}"
        brief = f"a reference into the middle of an object ({inside[1].value:#x})"
        return Damage(f"crash.registers[{inside[0]}].text", seen, brief, stale=True)
    seen = f" {name} = {value:#x} leads nowhere.{f' {looks}' if looks else ''}"
    return Damage(where, seen, f"a pointer that leads nowhere ({value:#x})")


def _computed(report: Report, operand: Operand) -> bool:
    """The base register was made right before by lea with a scaled index: it is no reference itself."""
    before = [text for at, text in report.crash.disassembly if report.crash.pc is not None and at < report.crash.pc]
    for text in reversed(before[-_MADE_WITHIN:]):
        if re.match(rf"\w+ {re.escape(operand.base or '')}\b", text):
            return text.startswith("lea") and "*" in text
    return False


def _indexed(report: Report) -> tuple[str, str, int] | None:
    """(path, register, value) of a reference from which another register holds the index of its mark bit.

    A bit of the bitmaps stands for a word of eight bytes from the heap's start (gc/shared/markBitMap.hpp); a reference
    that lies in the heap is none to look for.
    """
    found = views.crashing_thread(report)
    heap = [mapping for mapping in report.mappings if (mapping.kind or "") == "java heap"]
    if found is None or not heap:
        return None
    start, end = heap[0].start, heap[-1].end
    registers = {name: value for name, value in found[1].registers.items() if name not in _NOT_GENERAL}
    indexes = {value for value in registers.values() if value >= _LEAST_INDEX}
    for name, value in registers.items():
        if value and not start <= value < end and ((value - start) % (1 << 64)) >> 3 in indexes:
            return f"threads[{found[0]}].registers.{name}", name, value
    return None


def _reserved(report: Report) -> bool:
    """Address space that was only reserved: no object and no class lies there."""
    address = views.fault_address(report)
    found = views.mapping_at(report, address) if address is not None else None
    return found is not None and found[1].permissions.startswith("---") and views.code(report) == views.SEGV_ACCERR


def _protected(report: Report) -> bool:
    """The access was to an address that is used in the heap; only its mapping does not permit it."""
    address = views.fault_address(report)
    if address is None or views.code(report) != views.SEGV_ACCERR:
        return False
    found = views.mapping_at(report, address)
    return found is not None and found[1].kind == "java heap" and found[1].permissions.startswith("r")


def _phase(names: list[str]) -> str | None:
    """What the innermost function that tells was for."""
    for name in names:
        for pattern, words in _PHASES:
            if pattern.search(name):
                return words
    return None


def _in(inside: tuple[int, Frame] | None) -> str:
    return f", in {culprit.label(inside[1])}" if inside is not None else ""


def _active(report: Report) -> bool:
    """Collectors that work beside the program, and some phases of others, do not set it."""
    heap = jvm_views.heap(report)
    return heap is not None and heap.gc_active is True


def _reading(address: int | None) -> str:
    if address is None:
        return ""
    if address < views.NEAR_NULL * 16:
        return f" {address:#x} is no address of an object: a small number was where a reference or class belongs."
    return ""


def _other(collector: str | None) -> str:
    key = next((name for name in _FLAGS if name in (collector or "").lower()), None)
    return _FLAGS[key] if key else "-XX:+UseParallelGC"


RULE = Rule(id="jvm-crash-in-gc", group="jvm", specificity=85, check=check, documentation=__doc__ or "")
