"""What VMError recorded when the JVM gave up: HotSpot share/utilities/vmError.hpp.

Static variables, found by symbol, since JDK 9. Before, VMError is an object on the reporting thread's stack,
{int id; char* message; char* detail; Thread*; pc; siginfo*; ucontext*; char* file; int line; …}.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model.jvm import VmError
from postmortem.unwind.frame import ReportedFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

_NO_THREAD = 1 << 31
"""The initial value is -1; a tid is a positive int."""
_MAX_TEXT = LIMITS.vmerror_text
_STACK_SEARCHED = LIMITS.vmerror_stack_searched
_ALLOCATOR_SEARCHED = LIMITS.vmerror_allocator_searched
_LOWEST = 1 << 16
_MAX_OBJECT = LIMITS.vmerror_object
_ALLOCATORS = ("ObjArrayAllocator", "ObjAllocator", "ClassAllocator")
_ELEMENTS = dict(zip("BCDFIJSZ", ["byte", "char", "double", "float", "int", "long", "short", "boolean"], strict=True))
_SOURCES = (".cpp", ".hpp", ".inline.hpp", ".c")


def vm_error(vm: Reading, symbol: Callable[[str], int | None]) -> VmError | None:
    """VMError's statics; None when nothing was reported, or where libjvm's symbols are stripped."""
    number = vm.u32(symbol("_ZN7VMError3_idE"))
    if not number:
        return None
    return VmError(
        id=number,
        message=vm.text(vm.word(symbol("_ZN7VMError8_messageE")), _MAX_TEXT) or None,
        detail=vm.text(symbol("_ZN7VMError11_detail_msgE"), _MAX_TEXT) or None,
        file=vm.text(vm.word(symbol("_ZN7VMError9_filenameE")), _MAX_TEXT) or None,
        line=vm.i32(symbol("_ZN7VMError7_linenoE")) or None,
        size=vm.word(symbol("_ZN7VMError5_sizeE")) or None,
    )


def failed_allocation(vm: Reading, oops: Oops, vtables: Callable[[int], str | None], sp: int) -> tuple[str, int] | None:
    """(class, bytes) of the Java object for which the thread with that stack pointer found no room; JDK 11 and newer.

    The MemAllocator on its stack: {vtable, Thread*, Klass*, size in words} (gc/shared/memAllocator.hpp); in JDK 11
    the heap's address comes before the thread's.
    """
    data = vm.memory.read_some(sp & ~7, _ALLOCATOR_SEARCHED)
    words = struct.unpack_from(f"<{len(data) // 8}Q", data)
    known: dict[int, bool] = {}
    for index, table in enumerate(words[:-4]):
        if table < _LOWEST:
            continue
        if table not in known:
            known[table] = (vtables(table) or "").startswith(_ALLOCATORS)
        if not known[table]:
            continue
        for klass, size in (words[index + 2 : index + 4], words[index + 3 : index + 5]):
            name = oops.external_name(klass) if klass > _LOWEST and 0 < size < _MAX_OBJECT else None
            if name is not None:
                return _array_name(name), 8 * size
    return None


def _array_name(name: str) -> str:
    """ "[B" is "byte[]", "[Ljava.lang.Object;" is "java.lang.Object[]"."""
    depth = len(name) - len(name.lstrip("["))
    if not depth:
        return name
    element = name[depth:]
    return (_ELEMENTS.get(element) or element.removeprefix("L").removesuffix(";")) + "[]" * depth


def reported_fault(vm: Reading, symbol: Callable[[str], int | None]) -> ReportedFault | None:
    """The first error that was reported; None where the symbols are stripped."""
    tid = vm.word(symbol("_ZN7VMError16_first_error_tidE") or symbol("_ZN7VMError15first_error_tidE"))
    if tid is None:
        return None
    return ReportedFault(tid if tid < _NO_THREAD else 0, vm.word(symbol("_ZN7VMError8_contextE")) or 0)


def vm_error_on_stack(vm: Reading, sp: int) -> VmError | None:
    """The VMError object of JDK 8 in the stack above `sp`, recognized by an internal error's number, followed by
    its message and its source file."""
    data = vm.memory.read_some(sp & ~7, _STACK_SEARCHED)
    position = 0
    while True:
        # The numbers of internal errors begin with these three bytes, high end first.
        position = data.find(b"\0\0\xe0", position)
        if position < 0:
            return None
        start = position - 1
        position += 1
        if start < 0 or start & 7:
            continue
        words = vm.memory.words((sp & ~7) + start, 9)
        if words is None:
            return None
        file = vm.text(words[7], 512) if words[7] > 0xFFFF else None
        message = vm.text(words[1], _MAX_TEXT) if words[1] > 0xFFFF else None
        if file is not None and message and message.isprintable() and file.endswith(_SOURCES):
            return VmError(
                id=words[0] & 0xFFFFFFFF,
                message=message,
                detail=(vm.text(words[2], _MAX_TEXT) or None) if words[2] > 0xFFFF else None,
                file=file,
                line=words[8] & 0xFFFFFFFF,
            )
