"""What setjmp() leaves in a jmp_buf: rbx, rbp, r12 to r15, rsp and rip, a word each.

glibc guards rbp, rsp and rip: xor with the process' pointer guard, then rotated left by 17 bits (PTR_MANGLE in
sysdeps/unix/sysv/linux/x86_64/pointer_guard.h); musl keeps them as they are (src/setjmp/x86_64/setjmp.s).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.program.memory import AddressSpace

_SP, _PC = 6, 7
_ROTATED = 17
_MASK = (1 << 64) - 1


def jump_marks(sp: int, guard: int) -> tuple[bytes, ...]:
    """What a jmp_buf holds of a stack pointer: as glibc guards it, and as it is."""
    mixed = sp ^ guard
    return struct.pack("<Q", (mixed << _ROTATED | mixed >> 64 - _ROTATED) & _MASK), struct.pack("<Q", sp)


def jump_targets(space: AddressSpace, mark: int, guard: int) -> Iterator[tuple[int, int]]:
    """(address of the jmp_buf, where it goes on) for a mark at an address, by each libc's reading."""
    word = space.word(mark + 8 * (_PC - _SP))
    if word is not None:
        for target in (unguarded(word, guard), word):
            yield mark - 8 * _SP, target


def unguarded(word: int, guard: int) -> int:
    """The pointer that glibc guards as this word."""
    return (word >> _ROTATED | word << 64 - _ROTATED) & _MASK ^ guard
