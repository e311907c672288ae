"""How many JNI critical sections each thread is in: JavaThread::_jni_active_critical, which no table has.

GetPrimitiveArrayCritical adds one to it and ReleasePrimitiveArrayCritical takes one away (share/prims/jni.cpp,
gc/shared/gcLocker.inline.hpp), up to the versions whose collectors pin regions instead. Where it lies is read from
these two functions: the one word of the thread, 32 bits, that both load and store again through the same register.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.program.memory import AddressSpace

ENTER, LEAVE = "GetPrimitiveArrayCritical", "ReleasePrimitiveArrayCritical"
_LONGEST = 1024
"""Bytes of either function that are looked at."""
_LEAST, _MOST = 0x100, 0x2000
"""Where in a JavaThread it may lie."""
_LOAD = re.compile(r"(e\w\w|r\d+d), dword ptr \[(r\w+) \+ (0x[0-9a-f]+)\]")
_STORE = re.compile(r"dword ptr \[(r\w+) \+ (0x[0-9a-f]+)\], (e\w\w|r\d+d)")


def offset(memory: AddressSpace, enter: int, leave: int) -> int | None:
    """Of the count in a JavaThread; None where the functions, by their addresses, do not agree on one."""
    both = _counted(memory, enter) & _counted(memory, leave)
    return both.pop() if len(both) == 1 else None


def _counted(memory: AddressSpace, function: int) -> set[int]:
    """Displacements of what is loaded and stored again."""
    import capstone

    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    loaded: set[tuple[str, str]] = set()
    found = set()
    for _, _, mnemonic, operands in engine.disasm_lite(memory.read_some(function, _LONGEST), function):
        if mnemonic == "ret":
            break
        if mnemonic != "mov":
            continue
        if (load := _LOAD.fullmatch(operands)) is not None:
            loaded.add((load[2], load[3]))
        elif (store := _STORE.fullmatch(operands)) is not None and (store[1], store[2]) in loaded:
            at = int(store[2], 16)
            if _LEAST <= at < _MOST:
                found.add(at)
    return found
