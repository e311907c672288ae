"""Access to unmapped memory.

What it finds: a fault on an address that is in no mapping, when nothing more specific is known.
Why it matters: the distance to the nearest mapping tells an overrun from a wild pointer.
Evidence it needs: SIGSEGV with SEGV_MAPERR and an address of 64 KiB or more.
False alarms: memory that another thread unmapped in between; a stack overflow has its own rule.
Rivals excluded: a fault in mapped memory; a null pointer; an address that is not canonical.
What to do: an address just past a mapping is an overrun of it; a far one is a pointer that was overwritten,
freed with its mapping, or never set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import errors, fills, heapend, operands, overwritten, tables
from postmortem.model.queries import grown as grown_vectors
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.pointers import as_error
from postmortem.model.queries.variables import operand_evidence
from postmortem.rules.fault import protected_page
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

KERNEL = 1 << 63
"""Addresses from here on are the kernel's: no mapping of the process is near."""
CLOSE = 1 << 16
"""Bytes from a mapping within which an overrun or underrun of it is the first guess."""
FAR = 1 << 30
"""Bytes from a mapping beyond which it says nothing about an address."""


_PAGE = 1 << 12
_SCANS = Lazy(
    r"_*(?:platform_|GI_)?_?(?:mem(?:cpy|move|p?cpy|cmp|chr|set)|bcopy|str\w+)\b|jbyte_\w*copy\w*|jlong_\w*copy\w*"
)


def _scans(report: Report) -> bool:
    """The innermost frame runs through memory byte by byte."""
    frame = next((frame for frame in views.crashing_frames(report) if frame.kind != "signal"), None)
    return frame is not None and _SCANS.match((frame.function or "").partition("$")[0]) is not None


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    address = views.fault_address(report)
    if not views.signal_is(report, views.SIGSEGV) or views.code(report) != views.SEGV_MAPERR:
        return
    if address is None or (address < views.NEAR_NULL and not _from_error(report)):
        return
    executing = views.pc_is_fault(report)
    end = heapend.overrun(report)
    if end is not None:
        yield protected_page.overrun(report, end, RULE.id)
        return
    caller = views.caller_of(report, 0) if executing else None
    looks = fills.describe(report, address)
    if executing:
        title = f"Call or jump to the unmapped address {address:#x}" + (
            f" from {views.caller_text(report, 0)}" if caller else ""
        )
        title += tables.remark(report)
    else:
        found = views.faulting_operand(report)
        pointer = fills.describe(report, found[1].base_value) if found and found[1].base_value is not None else None
        if looks is None and pointer is not None and found is not None:
            looks = f"Register {found[1].base} held the pointer, {found[1].base_value:#x}. {pointer}"
        word = {"read": "Read of", "write": "Write to"}.get(views.access_word(report), "Access to")
        title = f"{word} the unmapped address {address:#x}{views.at_fault(report)}{operands.remark(report)}"
        if found is not None and found[1].base_value is not None and _from_error(report):
            deed = views.access_word(report).capitalize()
            number = found[1].base_value - (1 << 64)
            title = f"{deed} through {number} in a pointer's place, as failed calls return it,{views.at_fault(report)}"
    below, above = views.neighbours(report, address)
    near: list[str] = []
    if address >= KERNEL:
        below = above = None
    if below and address - below[1].end <= FAR:
        near.append(f"{views.size_text(address - below[1].end)} past the end of {views.mapping_text(below[1])}")
    if above and above[1].start - address <= FAR:
        near.append(f"{views.size_text(above[1].start - address)} before {views.mapping_text(above[1])}")
    behind = None if below is None else address - below[1].end
    before = None if above is None else above[1].start - address
    grown = grown_vectors.just_grown(report, address) if not executing else None
    if grown is not None:
        title += f": {grown.name} had just moved its elements"
        guess = (
            f"The vector {grown.name} has {grown.length} elements and room for {grown.capacity}: it had just taken a"
            " block of twice the size and freed the one before, which malloc gives back to the system where it is"
            " large. A pointer, reference or iterator to an element from before leads to where nothing is mapped any"
            " more."
        )
    elif behind is not None and behind < CLOSE and below is not None and below[1].kind == _LARGE_BLOCKS:
        guess = (
            "So close behind a mapping, what lies at its end may have been overrun; or a large block that lay here was"
            " freed, which malloc gives back to the system, and the pointer is from before."
        )
    elif behind is not None and behind < CLOSE:
        guess = "So close behind a mapping, an overrun of what lies at its end is the first guess."
    else:
        guess = (
            "The pointer was overwritten or never set, an index into what it points at is wrong, or its memory was"
            " unmapped."
        )
        listed = report.mappings and not (views.is_log(report) and report.core.truncated)
        if listed and all(distance is None or distance > FAR for distance in (behind, before)):
            guess = f"That is far from memory in use. {guess}"
    failed = not executing and _from_error(report)
    if failed:
        guess = "Most likely a call had failed (mmap, shmat, sbrk), and its result was not checked."
        guess += errors.sentence(report)
    if not report.mappings and address % _PAGE == 0 and _scans(report):
        guess = (
            "It is the first byte of a page: a copy or scan that ran beyond the end of its memory, by a wrong length or"
            " after the memory was unmapped, meets such an address first. Or the pointer was wrong from the start."
        )
    stale = overwritten.by_text(report)
    guess = operands.sentence(report) or (stale.sentence if stale is not None else guess)
    if executing:
        guess = (
            tables.sentence(report).strip()
            or "A function pointer, a vtable or a return address was overwritten, or its library was unloaded."
        )
    yield Finding(
        rule=RULE.id,
        title=title,
        severity="critical",
        confidence="certain" if grown is None else "likely",
        claim="observation" if tables.beyond(report) is None and grown is None else "cause",
        rivals=() if grown is None else ("The pointer was overwritten, or its index is wrong.",),
        explanation=(
            f"{address:#x} lies in pages of a mapping that were made a guard (madvise, MADV_GUARD_INSTALL)"
            if views.in_guard_region(report, address)
            else f"No mapping holds {address:#x}"
        )
        + (f"; it lies {' and '.join(near)}" if near else "")
        + f". {looks or ''} {guess}".replace("  ", " "),
        evidence=proof(
            report,
            *operand_evidence(report),
            ("native.errno" if failed and report.native.errno else "", "errno of the thread"),
            (grown.where if grown else "", "the vector that had just grown"),
            ("crash.signal.code_name", "the address is in no mapping"),
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.instruction", "the faulting instruction"),
            ("crash.call_site", "the call that led there"),
            (f"mappings[{below[0]}].end" if below else "", "end of the mapping below"),
            (f"mappings[{above[0]}].start" if above else "", "start of the mapping above"),
            (views.frame_path(report, caller[0]) if caller else views.blamed_path(report), "the function"),
        ),
        remedies=(_STALE if grown is not None else _FAILED if failed else tables.remedies(report))
        or (
            (
                "Follow the pointer back from the faulting instruction: which object was it read from, and is"
                " that one intact?"
            ),
            (
                "Get the whole log: its stack names the native code that made the access, or handed the address on."
                if views.is_log(report)
                else "Rebuild with -fsanitize=address and run the same input, or run it under valgrind."
            ),
        ),
    )


_LARGE_BLOCKS = "malloc, large blocks"
_STALE = (
    "Keep no pointer, reference or iterator to elements over what may add to the vector: use an index, reserve() enough"
    " before, or collect what is to be added and add it after the loop.",
    "Build with -D_GLIBCXX_DEBUG or -fsanitize=address and run the same input: either stops at the first stale use.",
)


_FAILED = (
    "Check what the call returned that gave the pointer: mmap and shmat return -1 (MAP_FAILED) on failure, not null;"
    " errno then says why.",
    "Otherwise memory that was filled with 0xff was read: look at the object that the pointer was read from.",
)


def _from_error(report: Report) -> bool:
    """-1 or another negative number was the pointer, and the offset of a member turned it into a small address."""
    found = views.faulting_operand(report)
    return found is not None and as_error(found[1].base_value or 0) is not None


RULE = Rule(id="unmapped-address", group="fault", specificity=40, check=check, documentation=__doc__ or "")
