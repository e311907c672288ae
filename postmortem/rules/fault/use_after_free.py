"""Use of freed memory.

What it finds: a bad pointer whose bits are what an allocator or a pool leaves in freed memory: a safe-linked list
pointer of glibc's tcache or fastbins, the word by which the tcache marks a block, or a fill pattern; or a bad pointer
that was read from a block that glibc's malloc or CPython's allocator has as free.
Why it matters: the pointer itself was never wrong; the object it was read from had been freed.
Evidence it needs: a fault with a computed address or base register, and the mappings.
False alarms: fill patterns also mark memory never set, and other data can look like a safe-linked pointer
by chance; so the finding is likely at most, and possible for patterns of one byte in part of a word.
What to do: run under AddressSanitizer, which names where the object was freed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Confidence, Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import fills, libraries, lifetime
from postmortem.model.queries.exiting import exiting
from postmortem.model.queries.paths import proof
from postmortem.model.queries.pointers import poison
from postmortem.model.queries.variables import variable_path
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE_SHIFT = 12
SMALLEST_CHUNK_ALIGNMENT = 16


_SANITIZER = "Rebuild with -fsanitize=address -g and run the same input: the report names where the object was freed."
_OWNER = (
    "Look for a second owner of the object that the pointer was read from: a stale iterator, a callback after"
    " destruction, a list node freed while it is walked."
)
RIVALS = (
    "Memory that was never set: the same patterns fill it.",
    "Data that looks like the pattern by chance.",
)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not views.signal_is(report, views.SIGSEGV, views.SIGBUS) or not views.raised_by_cpu(report):
        return
    if report.crash.mnemonic in ("ret", "retq"):
        return  # What a return took for its address lay on the stack.
    operand = views.faulting_operand(report)
    for where, value in _suspects(report):
        found = _marked(report, value) or _pattern(report, value) or _safe_linked(report, value)
        if found is None or (where.endswith(".index_value") and found[3] != "native.freed_mark"):
            continue
        confidence, short, reading, extra = found
        pointer = operand[1].pointer if operand is not None and operand[1].base_value == value else None
        what = f"{pointer}, {value:#x}," if pointer else f"{value:#x}"
        word = "index" if where.endswith(".index_value") else "pointer"
        yield Finding(
            rule=RULE.id,
            title=f"{'Possible use' if confidence == 'possible' else 'Use'} of freed memory{views.inside(report)}: the"
            f" {word} {what} is {short}",
            severity="critical",
            confidence=confidence,
            claim="cause",
            rivals=RIVALS,
            explanation=(
                f"{reading} So the {word} was read from an object that had been freed before."
                f" The {views.access_word(report)} {'through' if word == 'pointer' else 'with'} it faulted."
                f"{exiting(report)}"
            ),
            evidence=proof(
                report,
                (f"crash.operands[{operand[0]}].pointer" if operand is not None and pointer else "", "was used"),
                (variable_path(report, pointer), "the variable"),
                (where, f"the {word} that was used"),
                ("crash.instruction", "the faulting instruction"),
                (extra, "matches the pattern"),
                ("crash.signal.code_name", "the kernel's answer"),
                (views.blamed_path(report), "the function that used it"),
            ),
            remedies=(
                _SANITIZER,
                (
                    "Without rebuilding: valgrind, or MALLOC_PERTURB_=165 in the environment to make such use"
                    " fail early."
                ),
                _OWNER,
            ),
        )
        return
    found_free = lifetime.held(report, "freed")
    if found_free is not None:
        yield _holder(report, found_free)


def _holder(report: Report, found: lifetime.Held) -> Finding:
    """The pointer was read from a block that an allocator has as free, whatever the pointer looks like."""
    holder = found.holder
    python = holder.allocator == "CPython"
    extensions = libraries.extensions(report) if python else ()
    how = (
        f"The bad pointer was read from {holder.address:#x}"
        if holder.argument is None
        else f"The argument {holder.name} leads to {holder.address:#x}"
    )
    what = "object" if python else "block"
    heap = "CPython's" if python else "glibc's"
    which = "the object that it was given" if holder.argument else f"the {what} that the pointer was read from"
    named = f" C extensions that are no part of Python: {', '.join(extensions)}." if extensions else ""
    return Finding(
        rule=RULE.id,
        title=f"Use of freed memory{views.at_fault(report)}: {which} is free in {heap} heap",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=("The pointer that led there was overwritten, and leads to a free block by chance.",),
        explanation=(
            f"{how}, in a block that {'the allocator of CPython' if python else 'malloc of glibc'} has as free: the"
            f" {what} was freed before, and what it holds is what its last owner or the allocator left.{named}"
            f"{exiting(report)}"
        ),
        evidence=proof(
            report,
            (f"{found.where}.address", "in a free block"),
            (f"{found.where}.allocator", "whose block it is"),
            (holder.argument or "", f"the argument {holder.name}"),
            ("crash.instruction", "the faulting instruction"),
            ("crash.signal.code_name", "the kernel's answer"),
            (views.blamed_path(report), "the function that used it"),
        ),
        remedies=(
            (
                "Look in the C extensions for a missing Py_INCREF: a borrowed reference that is kept, or one that is"
                " given back twice (Py_DECREF).",
                "Run with PYTHONMALLOC=debug and python -X dev: freed objects are filled with 0xdd; a debug build of"
                " CPython checks reference counts.",
            )
            if python
            else (_SANITIZER, _OWNER)
        ),
    )


def _suspects(report: Report) -> Iterator[tuple[str, int]]:
    """(path, value) of the base registers of the faulting operand, then of the address itself."""
    found = views.faulting_operand(report)
    operands = list(enumerate(report.crash.operands))
    if found is not None:
        operands = [found]
    for index, operand in operands:
        if operand.canonical and operand.mapped:
            continue
        if operand.base_value is not None:
            yield f"crash.operands[{index}].base_value", operand.base_value
        if operand.index_value is not None:
            yield f"crash.operands[{index}].index_value", operand.index_value
        yield f"crash.operands[{index}].address", operand.address
    address = views.fault_address(report)
    if address is not None:
        yield views.fault_address_path(report), address


def _marked(report: Report, value: int) -> tuple[Confidence, str, str, str] | None:
    """As _pattern, for the random word that glibc 2.34 and newer write behind the link of a freed block."""
    mark = report.native.freed_mark
    if mark is None or value != mark:
        return None
    return (
        "likely",
        "glibc's mark of a freed block",
        f"{value:#x} is the random word that glibc writes into each block of its cache of freed blocks, and clears when"
        " the block is given out again.",
        "native.freed_mark",
    )


def _pattern(report: Report, value: int) -> tuple[Confidence, str, str, str] | None:
    """(confidence, what it is, sentence, path of more evidence) of a fill pattern."""
    perturbed = fills.perturbed(report)
    if perturbed is not None and fills.is_filled(value, perturbed[0]):
        variable = perturbed[1].rpartition(".")[2]
        return (
            "likely",
            f"{'MALLOC_PERTURB_' if variable == 'MALLOC_PERTURB_' else 'glibc'}'s filling of freed memory",
            (
                f"{variable} makes glibc fill freed memory with the byte {perturbed[0]:#04x}, and the pointer"
                f" {value:#x} is made of it."
            ),
            perturbed[1],
        )
    if fills.never_set(report, value):
        return None
    found = poison(value)
    if found is None:
        return None
    pattern, owner, meaning = found
    module = views.has_module(report, owner) if owner != "any" else None
    confidence: Confidence = "likely" if len(pattern) > 2 or module or value >= 1 << 47 else "possible"
    if owner != "any" and module is None:
        confidence = "possible"  # Its writer may be linked in, but nothing shows it.
    by = f" {module} is loaded, which writes it." if module else ""
    if owner != "any" and module is None:
        meaning = f"{meaning}, which no module of this process is known to do"
    return (
        confidence,
        f"filled with {pattern}",
        f"{value:#x} carries the pattern {pattern}: {meaning}.{by}",
        "",
    )


def _safe_linked(report: Report, value: int) -> tuple[Confidence, str, str, str] | None:
    """As _pattern, for a list pointer that glibc 2.32 and newer stores xor (its own address >> 12)."""
    if not 1 << 20 <= value < 1 << 47 or views.mapping_at(report, value) is not None:
        return None
    last = views.mapping_at(report, value << PAGE_SHIFT)
    if last is not None and _is_heap(report, last[0]):
        return (
            "likely",
            "the end of glibc's free list",
            (
                f"{value:#x} is a page number of the heap ({value << PAGE_SHIFT:#x} >> 12): glibc stores that"
                " as the link of the last chunk in a list of freed chunks."
            ),
            f"mappings[{last[0]}].start",
        )
    target = _unlink(value)
    found = views.mapping_at(report, target)
    if found is not None and _is_heap(report, found[0]) and target % SMALLEST_CHUNK_ALIGNMENT == 0:
        return (
            "likely",
            "a link of glibc's free list",
            (
                f"Undoing glibc's link protection turns {value:#x} into {target:#x}, an aligned address in"
                " the heap: the link from one freed chunk to the next."
            ),
            f"mappings[{found[0]}].start",
        )
    return None


def _unlink(value: int) -> int:
    """The pointer p with value = p ^ (p >> 12), which holds when link and target share their page."""
    target = value
    for _ in range(4):
        target = value ^ (target >> PAGE_SHIFT)
    return target


def _is_heap(report: Report, index: int) -> bool:
    mapping = report.mappings[index]
    return mapping.path is None and mapping.permissions.startswith("rw") and "stack" not in (mapping.kind or "")


RULE = Rule(id="use-after-free", group="fault", specificity=72, check=check, documentation=__doc__ or "")
