"""System calls that Python's library has no function for. Numbers: the kernel's arch/*/entry/syscalls tables.

libseccomp's and Landlock's Python bindings are not used (docs/adr/0004-guarded-worker.md).
"""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38


def prctl(option: int, value: int) -> None:
    """prctl(option, value, 0, 0, 0). Raises OSError."""
    _checked(_LIBC.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


def call(number: int, *arguments: object) -> int:
    """A system call by number. Raises OSError."""
    return _checked(_LIBC.syscall(ctypes.c_long(number), *arguments))


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
