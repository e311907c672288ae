"""The C library that is linked into an executable, and where its code begins.

The linker puts the members of libc's archive behind the program's own objects and libraries, in the order in which it
needs them; the first is the one that _start refers to, which has __libc_start_main.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_MUSL = ("libc_start_main_stage2", "__init_libc")
_GLIBC = ("__libc_start_call_main", "__libc_start_main_impl", "__libc_setup_tls")
_FIRST = (*_MUSL, *_GLIBC[:2], "__libc_start_main")


class LinkedLibc(NamedTuple):
    """name: glibc, musl or libc. start: address in memory."""

    name: str
    start: int


def linked_libc(address_of: Callable[[str], int | None]) -> LinkedLibc | None:
    """By the symbols of an executable; None where libc is not in it, or not behind the program's code."""
    if address_of("__libc_start_main") is None:
        return None
    start = min(at for name in _FIRST if (at := address_of(name)) is not None)
    main = address_of("main")
    if main is None or main > start:
        return None
    if any(address_of(name) is not None for name in _MUSL):
        return LinkedLibc("musl", start)
    return LinkedLibc("glibc" if any(address_of(name) is not None for name in _GLIBC) else "libc", start)
