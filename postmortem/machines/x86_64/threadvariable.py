"""The address of a variable of one thread, from the code of a function that returns it, as __errno_location does.

Forms of the thread's pointer, %fs:0, plus an offset (ELF TLS ABI, initial-exec and local-exec): the offset comes from
the global offset table, is a constant that is loaded, or one that is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.program.memory import AddressSpace

_LONGEST = 32
_ENDBR = b"\xf3\x0f\x1e\xfa"
_ADD_POINTER = b"\x64\x48\x03\x04\x25\0\0\0\0\xc3"
"""add %fs:0,%rax; ret"""
_LOAD_POINTER = b"\x64\x48\x8b\x04\x25\0\0\0\0"
"""mov %fs:0,%rax"""
_LOAD, _CONSTANT, _ADD_BYTE, _ADD = b"\x48\x8b\x05", b"\x48\xc7\xc0", b"\x48\x83\xc0", b"\x48\x05"
"""mov offset(%rip),%rax; mov $constant,%rax; add $byte,%rax; add $constant,%rax"""
_RET = b"\xc3"
_MASK = (1 << 64) - 1


def thread_variable(space: AddressSpace, function: int, thread_pointer: int) -> int | None:
    """See Machine.thread_variable."""
    code = space.read_some(function, _LONGEST)
    start = len(_ENDBR) if code.startswith(_ENDBR) else 0
    body = code[start:]
    offset: int | None = None
    if body.startswith((_LOAD, _CONSTANT)) and body[7:].startswith(_ADD_POINTER):
        offset = int.from_bytes(body[3:7], "little", signed=True)
        if body.startswith(_LOAD):
            offset = space.signed(function + start + 7 + offset, 8)
    elif body.startswith(_LOAD_POINTER):
        rest = body[len(_LOAD_POINTER) :]
        for begin, size in ((_ADD_BYTE, 1), (_ADD, 4)):
            if rest.startswith(begin) and rest[len(begin) + size :].startswith(_RET):
                offset = int.from_bytes(rest[len(begin) : len(begin) + size], "little", signed=True)
    return None if offset is None else thread_pointer + offset & _MASK
