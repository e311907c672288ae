"""An address in the crashed process: an integer that JSON writes as "0x…"."""

from __future__ import annotations


class Address(int):
    """A virtual address or another machine word that people read in hexadecimal."""

    __slots__ = ()

    def __str__(self) -> str:
        return hex(self)
