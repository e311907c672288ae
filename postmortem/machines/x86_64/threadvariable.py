"""The address of a variable of one thread, from the code of a function that returns it, as __errno_location does.

Forms of the thread's pointer, %fs:0, plus an offset (ELF TLS ABI, initial-exec and local-exec): the offset comes from
the global offset table, is a constant that is loaded, or one that is added.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.program.memory import AddressSpace

_LONGEST = 32
_START = rb"(?:\xf3\x0f\x1e\xfa)?"  # endbr64
_POINTER = rb"\x64\x48\x03\x04\x25\0\0\0\0\xc3"  # add %fs:0,%rax; ret
_FROM_TABLE = re.compile(_START + rb"\x48\x8b\x05(?P<to>.{4})" + _POINTER, re.DOTALL)
_CONSTANT = re.compile(_START + rb"\x48\xc7\xc0(?P<offset>.{4})" + _POINTER, re.DOTALL)
_ADDED = re.compile(
    _START + rb"\x64\x48\x8b\x04\x25\0\0\0\0\x48(?:\x83\xc0(?P<small>.)|\x05(?P<offset>.{4}))\xc3", re.DOTALL
)
_MASK = (1 << 64) - 1


def thread_variable(space: AddressSpace, function: int, thread_pointer: int) -> int | None:
    """See Machine.thread_variable."""
    code = space.read_some(function, _LONGEST)
    if (found := _FROM_TABLE.match(code)) is not None:
        slot = function + found.end("to") + struct.unpack("<i", found["to"])[0]
        offset = space.signed(slot, 8)
    elif (found := _CONSTANT.match(code) or _ADDED.match(code)) is not None:
        offset = int.from_bytes(found.groupdict().get("small") or found["offset"], "little", signed=True)
    else:
        return None
    return None if offset is None else thread_pointer + offset & _MASK
