"""Heap corruption.

What it finds: the allocator noticed that its own data is damaged, or crashed on it; glibc's, musl's and others.
Why it matters: the call that noticed is usually innocent: the damage was done before, often elsewhere.
Evidence it needs: libc's abort text (or an allocator's in memory); or a fault inside the allocator.
False alarms: a fault inside malloc may be a stack overflow, which is reported instead.
Where glibc's words fit a pointer that is no block's as well, both explanations are told and neither is the cause,
unless the pointer that it was given, read from the caller, tells: an address of the stack or of static memory, one that
is not aligned, a chunk that is free already.
Rivals excluded: an abort of the program's own: libc's words or the allocator's check are there; a stack overflow
inside malloc; a fault outside of an allocator.
What to do: do not read the crashing stack as the cause; run under AddressSanitizer or valgrind.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts, allocators, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.suspects import suspects
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Frame

_OVERRUN = "the block before it was overrun, or something wrote there through a bad pointer"

MEANINGS = (
    (
        r"Attempt to free invalid pointer|[Ii]nvalid (?:chunk|free)|misaligned pointer|invalid pointer: ",
        "A pointer was freed that the allocator never gave out, or that was freed before",
    ),
    (r"already deallocated", "A block was freed twice, or the word before it was overwritten"),
    (r"never been allocated", "A pointer was freed that the allocator never gave out"),
    (r"deallocation mismatch", "A block was freed by another kind of function than allocated it (delete for malloc)"),
    (r"memory stomping", f"The word before or behind a block was overwritten: {_OVERRUN}"),
    (r"double free detected in tcache", "The block is on the list of free blocks already: it was freed twice"),
    (
        r"double free or corruption",
        "A block was freed twice, what was freed is no block, or its header was overwritten",
    ),
    (
        r"free\(\): invalid pointer|munmap_chunk\(\): invalid pointer|realloc\(\): invalid pointer",
        ("A pointer was freed that the allocator never gave out, or the header before the block was overwritten"),
    ),
    (
        r"invalid next size|invalid old size",
        "The header behind the block holds an impossible size",
    ),
    (r"free\(\): invalid size", "What lies before the freed address is no header of a block"),
    (r"invalid size", f"The header of a block holds an impossible size: {_OVERRUN}"),
    (
        r"corrupted top size",
        f"The header behind the last block of the heap was overwritten: {_OVERRUN}",
    ),
    (
        r"corrupted size vs\. prev_size|mismatching next->prev_size",
        f"Two neighbouring headers disagree, one of which was overwritten: {_OVERRUN}",
    ),
    (
        (
            r"unaligned (tcache|fastbin) chunk|corrupted unsorted|double linked list corrupted|corrupted"
            r" double-linked list|unsorted"
        ),
        (
            "A list of free blocks is damaged: something wrote to a block after it was freed, overran its neighbour, or"
            " wrote through a bad pointer"
        ),
    ),
    (r"unsorted|largebin|smallbin|memory corruption|corrupt", "A list of free blocks is damaged"),
    (r"sysmalloc|\bmalloc\.c:", "A consistency check of malloc failed: the end of the heap was overwritten"),
)
_TEXT = Lazy(
    r"(?:free|malloc|realloc|calloc|munmap_chunk|mremap_chunk|malloc_consolidate)\(\): |double free|corrupted"
    r" (?:size|double|top|unsorted)"
    r"|\bmalloc\.c:|\bsysmalloc\b|invalid fastbin entry|tcache_thread_shutdown|Attempt to free invalid"
    r" pointer|<jemalloc>: |Scudo ERROR: (?!internal|.*memory)|mimalloc: error: |fatal allocator error"
    r"|memory (?:allocation|stomping) bug|allocation/deallocation mismatch"
)
_FREEING = Lazy(
    r"(?:__libc_)?(?:free|cfree|realloc)|operator delete(?:\[\])?|munmap_chunk|_int_free.*"
    r"|(?:je|tc|mi)_(?:c?free|delete)\w*"
)


_REFUSED = Lazy(
    r"(?:free|munmap_chunk|realloc|mremap_chunk)\(\): invalid (?:pointer|size|next size|old size)"
    r"|double free or corruption \((?:out|!prev|top)\)"
)
"""What glibc says (_int_free, munmap_chunk, realloc) as well where the address that it was given is no block's start:
it reads the words before the address, and at the end of the size that they give, as headers."""
_EITHER = (
    "The address is not the start of a block that is in use: it lies inside of one, belongs to another allocator, or"
    " was freed before.",
    "The block's header, or the one behind it, was overwritten: by an overrun of this block or the one before it, or"
    " by a write through a bad pointer.",
)

RIVALS = ("A fault of the allocator's own, or memory of it that the system could not supply.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    text = aborts.message(report)
    if not text and aborts.aborted(report) and report.native.runtime in _SPEAKING:
        text = report.native.runtime_message or ""
    if text and _TEXT.search(text):
        yield _said(report, text)
        return
    musl = aborts.musl_crash(report)
    if musl is not None:
        yield _stopped(report, musl)
        return
    inside = allocators.inside(report)
    if inside is None and aborts.musl_reads_block(report):
        inside = allocators.Inside("musl's malloc", 0, None)
    if inside is None or not views.raised_by_cpu(report) or _is_stack_used_up(report):
        return
    if views.signal_is(report, views.SIGSEGV, views.SIGBUS) or (
        views.signal_is(report, views.SIGILL, views.SIGTRAP) and inside.allocator in _TRAPPING
    ):
        yield _crashed(report, inside)


def _is_stack_used_up(report: Report) -> bool:
    """The fault is at the stack pointer: the allocator was merely the one that came to the end of the stack."""
    address, found = views.fault_address(report), views.crashing_thread(report)
    sp = found[1].frames[0].sp if found is not None and found[1].frames else None
    return address is not None and sp is not None and abs(address - sp) < _NEAR_SP


def _said(report: Report, text: str) -> Finding:
    meaning = next(
        (words for pattern, words in MEANINGS if re.search(pattern, text)), "The allocator's data is damaged"
    )
    freeing = views.first_named(report, lambda name: _FREEING.fullmatch(name) is not None)
    where = _inside(report)
    deed = _deed(report, text, freeing is not None)
    first_line = text.splitlines()[0].partition("; or else")[0][:120].rstrip(". ")
    refused = _REFUSED.search(first_line) is not None
    shown = _shown(report, where) if refused else None
    if shown is not None:
        return _bad_pointer(report, first_line, shown, freeing)
    twice = "double free detected" in first_line
    if refused:
        title = f"Bad pointer or heap corruption found{deed}{where}: {first_line}"
        who = f"Both are open: {_EITHER[0][:1].lower()}{_EITHER[0][1:-1]}; or {_EITHER[1][:1].lower()}{_EITHER[1][1:]}"
        who += " In the first case the caller is at fault, in the second whoever wrote there, earlier."
    else:
        title = f"Double free{where}: {first_line}" if twice else f"Heap corruption found{deed}{where}: {first_line}"
        who = (
            "This call is the second; who freed it first is not on the stack."
            if twice
            else "The function that made this call only met the damage; it was done earlier, and not necessarily by it."
        )
    return Finding(
        rule=RULE.id,
        title=title,
        severity="critical",
        confidence="certain",
        claim="observation" if refused else "cause",
        rivals=_EITHER if refused else RIVALS,
        explanation=(
            f"The allocator aborted with {first_line!r}. {meaning}. {who}"
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
        remedies=_remedies(report, refused),
    )


def _shown(report: Report, where: str) -> tuple[str, str, str] | None:
    """(title, sentence, path of what shows it) where the pointer itself tells what is wrong with it."""
    freed = report.crash.freed
    if freed is None:
        return None
    deed = "Free" if freed.call == "free" else "realloc()"
    pointer = f"The pointer is {freed.address:#x}"
    if freed.on_stack:
        of = f" in the frame of {plain(freed.frame)}()" if freed.frame else ""
        return (
            f"{deed} of an address on the stack{where}",
            f"{pointer}, which lies on the thread's stack{of}: it is a local variable's, not a block's.",
            "crash.freed.on_stack",
        )
    found = views.mapping_at(report, freed.address)
    if found is not None and found[1].path is not None and not found[1].path.startswith("["):
        static = any(module.start <= freed.address < module.end for module in report.modules)
        return (
            f"{deed} of {'static memory' if static else 'the mapping of a file'}{where}",
            f"{pointer}, which lies in {views.mapping_text(found[1])}: "
            + ("constants and static variables are no blocks." if static else "malloc gives out no memory of files."),
            f"mappings[{found[0]}].path",
        )
    if freed.address % _ALIGNMENT:
        return (
            f"{deed} of a pointer that malloc did not give out{where}",
            f"{pointer}, {freed.address % _ALIGNMENT} bytes past one that is divisible by {_ALIGNMENT}, which all that"
            " malloc gives out are: it was moved on within a block, or does not come from malloc.",
            "crash.freed.address",
        )
    if freed.listed:
        return (
            f"Double free{where}" if freed.call == "free" else f"realloc() of a block that is free{where}",
            f"{pointer}, a block that is on a list of free blocks already, both neighbours of which lead back to it: it"
            " was freed before, and by whom is not on the stack.",
            "crash.freed.listed",
        )
    return None


def _bad_pointer(report: Report, said: str, shown: tuple[str, str, str], freeing: tuple[int, Frame] | None) -> Finding:
    """said: the allocator's words; "" where it faulted."""
    title, sentence, path = shown
    label = culprit.label(views.crashing_frames(report)[0])
    return Finding(
        rule=RULE.id,
        title=f"{title}: {said or f'crash in {label}'}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(f"The allocator aborted with {said!r}. " if said else f"The fault is in {label}. ")
        + sentence
        + suspects(report),
        evidence=proof(
            report,
            ("native.abort_message" if said else "", "what the allocator said"),
            ("crash.freed.address", "what was to be freed"),
            (path, "shows what it is"),
            (views.frame_path(report, freeing[0]) if freeing else "", "the call that was given it"),
            (views.blamed_path(report), "its caller"),
        ),
        remedies=(_remedies(report, refused=True)[0], _REMEDIES[0]),
    )


def _inside(report: Report) -> str:
    """As views.inside, but past the frames of a libjvm without symbols: the VM passes its caller's block on."""
    found = views.blamed(report)
    if found is None or found[1].function is not None or not jvm_frames.is_vm(found[1]):
        return views.inside(report)
    rest = views.crashing_frames(report)[found[0] :]
    past = next((item for item in rest if not jvm_frames.is_vm(item)), None)
    if past is None or not (jvm_frames.is_java(past) or past.kind == "native") or past.trust == "scan":
        return views.inside(report)
    caller = culprit.first(rest[rest.index(past) :])
    return f" in {culprit.label(caller[1])}" if caller is not None else views.inside(report)


def _deed(report: Report, text: str, freeing: bool) -> str:
    """ " while freeing", by the words, else by the stack; "" where neither tells."""
    if re.search(r"\brealloc\(\)", text):
        return " while reallocating"
    if freeing or re.search(r"\b(?:free|munmap_chunk)\(\)|double free", text):
        return " while freeing"
    inside = allocators.inside(report)
    if re.search(r"\b(?:malloc|calloc|realloc)\(\)", text) or (inside is not None and inside.frees is False):
        return " while allocating"
    named = views.first_named(report, lambda name: "alloc" in name or name.startswith("operator new"))
    return " while allocating" if named is not None else ""


def _stopped(report: Report, allocator: bool) -> Finding:
    caller = views.caller_of(report, 0)
    by = views.called_by(report, 0)
    label = culprit.label(views.crashing_frames(report)[0])
    return Finding(
        rule=RULE.id,
        title=f"musl's allocator stopped the process in {label}{by}",
        severity="critical",
        confidence="certain" if allocator else "likely",
        claim="cause",
        rivals=RIVALS,
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


def _crashed(report: Report, inside: allocators.Inside) -> Finding:
    shown = _shown(report, views.inside(report)) if allocators.in_glibc(report) else None
    if shown is not None:
        return _bad_pointer(report, "", shown, views.first_named(report, lambda name: bool(_FREEING.fullmatch(name))))
    frames = views.crashing_frames(report)
    label = culprit.label(frames[0])
    caller = views.caller_of(report, inside.outermost)
    by = views.called_by(report, inside.outermost)
    asked = {True: "freeing", False: "allocating", None: ""}[inside.frees]
    deed = f" while {asked}" if asked else ""
    stops = not views.signal_is(report, views.SIGSEGV, views.SIGBUS)
    return Finding(
        rule=RULE.id,
        title=f"Heap corruption met by {inside.allocator}{deed}: {'stop' if stops else 'crash'} in {label}{by}",
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"The fault is in {label} of {inside.allocator}, which follows pointers that it keeps in and between blocks"
            f"{', or that it computes from the pointer to be freed' if inside.frees is not False else ''}. They were"
            " wrong: a block was overrun, freed twice or written to after it was freed, before this call"
            f"{', or what was to be freed is no block of this allocator' if inside.frees is not False else ''}."
        ),
        rivals=("an error in the allocator itself",),
        evidence=proof(
            report,
            (
                views.frame_path(report, 0, "function" if frames[0].function else "module"),
                "the fault is in the allocator",
            ),
            (views.fault_address_path(report), "the address it followed"),
            (
                views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else "",
                "its caller",
            ),
        ),
        remedies=_of_allocator(inside.allocator) or _remedies(report),
    )


def _of_allocator(name: str) -> tuple[str, ...]:
    """What to do where the allocator is not glibc's: its own checks."""
    checks = {
        "jemalloc": "Run a build of jemalloc with --enable-debug, or MALLOC_CONF=junk:true,tcache:false with this one",
        "tcmalloc": "Run with libtcmalloc_debug.so, which checks every block when it is freed",
        "mimalloc": "Run a debug or secure build of mimalloc (libmimalloc-secure.so, MI_DEBUG=3)",
        "musl's malloc": "Build and run the same code on glibc with -fsanitize=address, or under valgrind",
    }.get(name)
    if checks is None:
        return ()
    return (
        "Rebuild with -fsanitize=address -g, without the other allocator, and run the same input: it stops at the first"
        " bad write or second free.",
        f"{checks}.",
        "If the caller frees, look at where that block came from, and who else frees it.",
    )


def _remedies(report: Report, refused: bool = False) -> tuple[str, ...]:
    """What to do; of a JVM's libraries those that do not come with it are suspects."""
    if refused:
        return (
            "Look at what is freed here: it must be the address that malloc"
            f"{' (Unsafe.allocateMemory, JNI’s Get…)' if views.java_process(report) else ''} gave out, unchanged, and"
            " freed once, by the same allocator.",
            *_remedies(report),
        )
    if not views.java_process(report):
        return _REMEDIES
    foreign = {
        file_name(module.path)
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


_NEAR_SP = 1 << 16
_ALIGNMENT = 16
_SPEAKING = ("jemalloc", "tcmalloc", "malloc", "mimalloc", "Scudo", "hardened_malloc")
_TRAPPING = ("Scudo", "snmalloc", "hardened_malloc", "mimalloc", "tcmalloc", "jemalloc")
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
