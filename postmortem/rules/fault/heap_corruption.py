"""Heap corruption.

What it finds: the allocator noticed that its own data is damaged, or crashed on it.
Why it matters: the call that noticed is usually innocent: the damage was done before, often elsewhere.
Evidence it needs: libc's abort text (or an allocator's in memory); or a fault inside the allocator.
False alarms: a fault inside malloc may be a stack overflow, which is reported instead.
Rivals excluded: an abort of the program's own: libc's words or the allocator's check are there; a stack overflow
inside malloc; a fault outside of an allocator.
What to do: do not read the crashing stack as the cause; run under AddressSanitizer or valgrind.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.model.queries.suspects import suspects
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

MEANINGS = (
    (r"already deallocated", "A block was freed twice, or the word before it was overwritten"),
    (r"never been allocated", "A pointer was freed that the allocator never gave out"),
    (r"deallocation mismatch", "A block was freed by another kind of function than allocated it (delete for malloc)"),
    (r"memory stomping", "The word before or behind a block was overwritten: a block was overrun"),
    (
        r"double free detected in tcache|double free or corruption",
        "A block was freed twice, or its header was overwritten",
    ),
    (
        r"free\(\): invalid pointer|munmap_chunk\(\): invalid pointer|realloc\(\): invalid pointer",
        ("A pointer was freed that the allocator never gave out, or the header before the block was overwritten"),
    ),
    (
        r"invalid next size|invalid old size",
        "The header behind a block was overwritten: that block was overrun",
    ),
    (r"invalid size", "The header of a block holds an impossible size: the block before it was overrun"),
    (
        r"corrupted top size",
        "The header behind the last block of the heap was overwritten: that block was overrun",
    ),
    (
        r"corrupted size vs\. prev_size|mismatching next->prev_size",
        "Two neighbouring headers disagree: a block between them was overrun",
    ),
    (
        (
            r"unaligned (tcache|fastbin) chunk|corrupted unsorted|double linked list corrupted|corrupted"
            r" double-linked list|unsorted"
        ),
        ("A list of free blocks is damaged: something wrote to a block after it was freed, or overran its neighbour"),
    ),
    (r"unsorted|largebin|smallbin|memory corruption|corrupt", "A list of free blocks is damaged"),
    (r"sysmalloc|malloc\.c", "A consistency check of malloc failed: the end of the heap was overwritten"),
)
_TEXT = re.compile(
    r"(?:free|malloc|realloc|calloc|munmap_chunk|mremap_chunk)\(\): |double free|corrupted"
    r" (?:size|double|top|unsorted)"
    r"|malloc\.c|\bsysmalloc\b|invalid fastbin entry|tcache_thread_shutdown|Attempt to free invalid"
    r" pointer|<jemalloc>: |memory (?:allocation|stomping) bug|allocation/deallocation mismatch"
)
_INSIDE = re.compile(
    r"(?:__libc_)?(?:malloc|free|calloc|realloc)|_int_(?:malloc|free|realloc|memalign).*|unlink_chunk.*|malloc_consolidate"
    r"|tcache_(?:get|put).*|sysmalloc|(?:je|tc|mi)_\w*(?:alloc|free)\w*"
)
_FREEING = re.compile(
    r"(?:__libc_)?(?:free|cfree|realloc)|operator delete(?:\[\])?|munmap_chunk|_int_free.*"
    r"|(?:je|tc|mi)_(?:c?free|delete)\w*"
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    text = aborts.message(report)
    if not text and aborts.aborted(report) and report.native.runtime in ("jemalloc", "tcmalloc", "malloc"):
        text = report.native.runtime_message or ""
    if text and _TEXT.search(text):
        yield _said(report, text)
        return
    musl = aborts.musl_crash(report)
    if musl is not None:
        yield _stopped(report, musl)
        return
    frames = views.crashing_frames(report)
    inside = frames and frames[0].function is not None and views.first_named(report, _is_allocator)
    if (
        inside
        and inside[0] == 0
        and views.raised_by_cpu(report)
        and views.signal_is(report, views.SIGSEGV, views.SIGBUS)
    ):
        yield _crashed(report)


def _is_allocator(name: str) -> bool:
    return _INSIDE.fullmatch(name) is not None


def _said(report: Report, text: str) -> Finding:
    meaning = next(
        (words for pattern, words in MEANINGS if re.search(pattern, text)), "The allocator's data is damaged"
    )
    freeing = views.first_named(report, lambda name: _FREEING.fullmatch(name) is not None)
    where = views.inside(report)
    deed = "freeing" if freeing else "allocating"
    first_line = text.splitlines()[0].partition("; or else")[0][:120].rstrip(". ")
    return Finding(
        rule=RULE.id,
        title=f"Heap corruption found while {deed}{where}: {first_line}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"The allocator aborted with {first_line!r}. {meaning}. The function that made this call only met"
            f" the damage; it was done earlier, and not necessarily by it."
            + (" It is malloc's heap, not the Java heap." if views.java_process(report) else "")
            + suspects(report)
        ),
        evidence=proof(
            report,
            ("native.abort_message", "what the allocator said"),
            ("native.runtime_message" if not report.native.abort_message else "", "what the allocator said"),
            (views.frame_path(report, freeing[0]) if freeing else "", "the call that noticed"),
            (views.blamed_path(report), "its caller"),
        ),
        remedies=_remedies(report),
    )


def _stopped(report: Report, allocator: bool) -> Finding:
    caller = views.caller_of(report, 0)
    by = f", called by {culprit.label(caller[1])}" if caller else ""
    label = culprit.label(views.crashing_frames(report)[0])
    return Finding(
        rule=RULE.id,
        title=f"musl's allocator stopped the process in {label}{by}",
        severity="critical",
        confidence="certain" if allocator else "likely",
        claim="cause",
        explanation=(
            f"{label} executed hlt{by}: so musl ends a process whose heap does not pass a check, after a double free, a"
            " free of what was never allocated, or an overrun of a block's end. The function that made this call only"
            " met the damage, unless it frees twice itself."
            + ("" if allocator else " Without symbols of libc that it was the allocator's check is not proven.")
        ),
        evidence=proof(
            report,
            ("crash.instruction", "musl's stop"),
            (views.frame_path(report, 0, "module"), "in this library"),
            (views.frame_path(report, 0), "and function"),
            (views.frame_path(report, caller[0]) if caller else "", "its caller"),
        ),
        remedies=_remedies(report),
    )


def _crashed(report: Report) -> Finding:
    frame = views.crashing_frames(report)[0]
    return Finding(
        rule=RULE.id,
        title=(f"Crash inside the allocator ({culprit.label(frame)}), called{views.inside(report)}: heap corruption"),
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"The fault is in {culprit.label(frame)}, which follows pointers that the allocator keeps in and"
            " between blocks. They were overwritten by an overrun, a double free or a write to freed memory,"
            " done before this call."
        ),
        evidence=proof(
            report,
            (views.frame_path(report, 0), "the fault is in the allocator"),
            (views.fault_address_path(report), "the address it followed"),
            (views.blamed_path(report), "its caller"),
        ),
        remedies=_remedies(report),
    )


def _remedies(report: Report) -> tuple[str, ...]:
    """What to do; of a JVM's libraries those that do not come with it are suspects."""
    if not views.java_process(report):
        return _REMEDIES
    foreign = {
        jvm_frames.file_name(module.path)
        for module in report.modules
        if ".so" in module.path
        and not module.path.startswith(_SYSTEM)
        and not jvm_frames.is_jdk_library(report, module.path)
    }
    names = ", ".join(sorted(foreign)[:8])
    return (
        "Run with -Xcheck:jni: it finds writes beyond the buffers of GetStringUTFChars, Get…ArrayElements and"
        " GetPrimitiveArrayCritical when they are released.",
        f"Suspects are the native libraries that do not belong to the JDK or the system: {names}."
        if names
        else "No native library from outside of the JDK and the system is loaded now; look at those that were.",
        "Start java with LD_PRELOAD=libc_malloc_debug.so.0 and GLIBC_TUNABLES=glibc.malloc.check=3 (glibc 2.34 and"
        " newer), or build the suspects with -fsanitize=address and preload libasan.so.",
    )


_SYSTEM = ("/lib", "/usr/lib", "[")
_REMEDIES = (
    ("Rebuild with -fsanitize=address -g and run the same input: it stops at the first bad write or second free."),
    (
        "Without rebuilding: valgrind ./program, or GLIBC_TUNABLES=glibc.malloc.check=3 with"
        " LD_PRELOAD=libc_malloc_debug.so.0 (glibc 2.34 and newer)."
    ),
    "Look at the block just below the damaged one: its content often tells who overran it.",
)

RULE = Rule(id="heap-corruption", group="fault", specificity=90, check=check, documentation=__doc__ or "")
