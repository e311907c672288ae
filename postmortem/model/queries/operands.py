"""Which part of a bad address is the bad one: index, frame pointer, stack pointer, or the pointer itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.registers import STACK_POINTERS

if TYPE_CHECKING:
    from postmortem.model import Operand, Report

_FRAME_POINTERS = ("rbp", "x29", "fp")
_LOST = ("no-rule", "unreadable")
_ADDRESSES = 1 << 64
_SMALL = re.compile(r"0x[0-9a-f]{1,4}")
_VECTOR = 64
_INNERMOST = 4
_PRINTF = re.compile(r"_*(?:IO_)?v?\w*printf\w*")
_LIBC_STRING = re.compile(r"__(?:str|mem|wcs)\w+_(?:sse|avx|evex|generic)")
_COMPARES_BYTES = re.compile(r"v?pcmpeqb|vpcmpu?b|v?pminub|vptestn?mb")
_HALF = (1 << 32) - 1
_EXTENDED = _ADDRESSES - (1 << 31)
"""From here on: a negative number of 32 bits, extended to 64."""
_LOWEST_HALF = 1 << 20
_OF_THE_VM = ("java heap", "metaspace", "class space", "cds archive", "code cache", "gc ")
"""Beginnings of the kinds of a JVM's own mappings, which no pointer of native code leads to."""
_BY_CHANCE = 1 << 26
CUT_REMEDY = (
    "Look for the type of 32 bits that the pointer went through: int, jint or a Java int for a handle, a function"
    " without a prototype, JAVA_INT in a FunctionDescriptor."
)


def remark(report: Report) -> str:
    """What to add to a title, as ": the index rax = 0x4c4b40 leads out of the memory at rdx"; "" for a bad pointer."""
    operand = _operand(report)
    if operand is None:
        return ""
    if operand.base in STACK_POINTERS and _outside(report, operand.base_value):
        return ": the stack pointer itself is in no mapping"
    if _is_frame_pointer_bad(report, operand):
        return f": the frame pointer {operand.base} is not in the stack"
    half = halved(report, operand)
    if half is not None and half[0] >= _EXTENDED:
        return f": {operand.base} held a pointer that had lost its upper 32 bits"
    bad = _index(report, operand)
    return f": the index {bad[0]} = {bad[1]:#x} leads out of the memory at {bad[2]}" if bad is not None else ""


def sentence(report: Report) -> str | None:
    """The same for an explanation; None for a bad pointer."""
    operand = _operand(report)
    if operand is None:
        return None
    if operand.base in STACK_POINTERS and _outside(report, operand.base_value):
        return (
            "The stack pointer itself is in no mapping: a local array or alloca of this function is larger than the"
            " stack, the thread was switched to a stack that is not there any more (of a coroutine that was freed), or"
            " the stack pointer was loaded from damaged memory."
        )
    conversion = printing(report)
    if conversion is not None:
        return (
            f"A function of the printf family was at {conversion}: the argument does not fit the conversion or is"
            " missing,"
            " text from outside was the format, or the pointer was bad where it was read."
        )
    if _is_frame_pointer_bad(report, operand):
        return (
            f"The function reaches its variables through {operand.base}, which does not point into its stack: the frame"
            " pointer that it had saved was overwritten, most often by a function called last that wrote past the"
            " end of a local array."
        )
    half = halved(report, operand)
    if half is not None:
        return (
            f"{_halves(report, *half)}, as the result of a function that was called without a prototype or a cast to"
            " int."
        )
    bad = _index(report, operand)
    if bad is None:
        return None
    return (
        f"The register {bad[2]} points into memory of the process; the index in {bad[0]}, {bad[1]:#x} ({bad[1]}), times"
        f" {bad[3]} leads out of it: the index is wrong, or the size that it was checked against."
    )


def cut_pointer(report: Report) -> tuple[str, str] | None:
    """What to add to a title, and a sentence without its end, where the bad address is the half of a good one."""
    operand = _operand(report)
    half = halved(report, operand) if operand is not None else None
    if half is None:
        return None
    return f": the pointer {half[0]:#x} is {half[1]:#x} without its upper 32 bits", _halves(report, *half)


def _halves(report: Report, value: int, whole: int) -> str:
    found = views.mapping_at(report, whole)
    where = "an address in a malloc arena" if found is not None and found[1].kind == "malloc arena" else "an address"
    how = "with its upper half filled from bit 31" if value >= _EXTENDED else "with an upper half of zeros"
    return (
        f"{value:#x} is the lower half of {whole:#x}, {where} in memory of the process, {how}: most likely a"
        " pointer that went through a type of 32 bits"
    )


def _operand(report: Report) -> Operand | None:
    found = views.faulting_operand(report)
    if found is not None:
        return found[1]
    return next((operand for operand in report.crash.operands if not operand.canonical), None)


def _outside(report: Report, value: int | None) -> bool:
    return value is not None and views.mapping_at(report, value) is None


def _is_frame_pointer_bad(report: Report, operand: Operand) -> bool:
    """A function that keeps its frame by a register, which leads nowhere, so that its caller is not found either."""
    found = views.crashing_thread(report)
    if operand.base not in _FRAME_POINTERS or operand.displacement >= 0 or operand.index is not None or found is None:
        return False
    thread = found[1]
    if thread.stack is None or operand.base_value is None or thread.ended not in _LOST:
        return False
    trusted = [frame for frame in thread.frames if frame.trust != "scan" and not frame.inlined]
    return len(trusted) == 1 and not thread.stack.start <= operand.base_value <= thread.stack.end


def _index(report: Report, operand: Operand) -> tuple[str, int, str, int] | None:
    """(index register, its value as a signed number, base register, scale) where the base alone is good memory."""
    if operand.base is None or operand.index is None or operand.base_value is None or operand.index_value is None:
        return None
    pairs = [(operand.index, operand.index_value, operand.base, operand.base_value, operand.scale)]
    if operand.scale == 1:
        pairs.append((operand.base, operand.base_value, operand.index, operand.index_value, 1))
    good = [pair for pair in pairs if _is_data(report, pair[3]) and not _is_data(report, pair[1])]
    if len(good) != 1 or not good[0][1]:
        return None
    index, value, base, _, scale = good[0]
    return index, int(value) - _ADDRESSES if value >> 63 else int(value), base, scale


def passed(report: Report, number: int) -> tuple[int, str] | None:
    """(the number that was passed, its path) where libc read from the aligned address below it.

    Its functions for strings read whole vectors, from the start of the first one on.
    """
    frames = views.crashing_frames(report)
    blamed = views.blamed(report)
    if not frames or blamed is None or not blamed[0] or not plain(frames[0].function or "").startswith(("str", "mem")):
        return None
    for position, frame in enumerate(frames[: blamed[0] + 1]):
        for member, values in (("arguments", frame.arguments), ("locals", frame.locals)):
            for index, value in enumerate(values):
                match = _SMALL.fullmatch(value.value or "")
                if match is not None and number < int(match[0], 16) < number + _VECTOR:
                    return int(match[0], 16), views.frame_path(report, position, f"{member}[{index}].value")
    return None


def printing(report: Report) -> str | None:
    """The conversion whose argument a function of the printf family followed when it faulted."""
    inner = [frame for frame in views.crashing_frames(report)[:_INNERMOST] if frame.trust != "scan"]
    names = [plain(frame.function or "") for frame in inner]
    at = next((index for index, name in enumerate(names) if _PRINTF.fullmatch(name)), None)
    if at is None:
        return None
    # A C library without symbols of its inner functions: those that search a string compare bytes in vectors.
    nameless = at > 1 and all(frame.function is None and frame.module == inner[at].module for frame in inner[:at])
    searches = nameless and _COMPARES_BYTES.fullmatch(report.crash.mnemonic or "") is not None
    if searches or names[0].startswith(("str", "mem", "wcs")) or _LIBC_STRING.match(names[0]):
        return "a string (%s)" if views.access_word(report) == "read" else None
    return "%n" if views.access_word(report) == "write" and _PRINTF.fullmatch(names[0]) else None


def halved(report: Report, operand: Operand) -> tuple[int, int] | None:
    """(base register's value, the address) where the value is an address that lost its upper 32 bits.

    Half a word of zeros meets an address by chance in a process that uses much memory: at most 64 MiB may match.
    """
    value = operand.base_value
    if value is None or operand.index is not None or not (value >= _EXTENDED or _LOWEST_HALF <= value <= _HALF):
        return None
    at = views.mapping_at(report, value)
    if at is not None and at[1].permissions[:3] != "---":
        return None  # What is merely reserved is no memory that a pointer could lead to.
    low = value & _HALF
    matching = [
        m
        for m in report.mappings
        if m.permissions.startswith("rw") and m.start > _HALF and not (m.kind or "").startswith(_OF_THE_VM)
    ]
    if sum(m.end - m.start for m in matching) > _BY_CHANCE:
        return None
    for mapping in matching:
        whole = mapping.start - (mapping.start & _HALF) + low
        whole += 0 if whole >= mapping.start else _HALF + 1
        if whole < mapping.end:
            return int(value), whole
    return None


def _is_data(report: Report, value: int) -> bool:
    found = views.mapping_at(report, value)
    return found is not None and found[1].permissions.startswith("r") and "x" not in found[1].permissions
