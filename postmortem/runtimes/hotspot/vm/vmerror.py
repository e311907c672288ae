"""What VMError recorded when the JVM gave up: HotSpot share/utilities/vmError.hpp.

Static variables, found by symbol, since JDK 9. Before, VMError is an object on the reporting thread's stack,
{int id; char* message; char* detail; Thread*; pc; siginfo*; ucontext*; char* file; int line; …}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.jvm import VmError
from postmortem.unwind.frame import ReportedFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.runtimes.hotspot.layout.reading import Reading

_NO_THREAD = 1 << 31
"""The initial value is -1; a tid is a positive int."""
_MAX_TEXT = 2000
_STACK_SEARCHED = 1 << 17
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
