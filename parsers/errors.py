"""Errors of the parsers.

Exception
└ ParseError        the input is not what it claims: what, offset, why, hint
    ├ Truncated     the file ends before the structure does
    └ Unsupported   well-formed, but of a kind this program does not read (machine, class, byte order)
"""

from __future__ import annotations


class ParseError(Exception):
    """The input is not what it claims to be.

    what: the structure being read ("Elf64_Phdr[3]"); offset: bytes from the start of the input;
    why: one clause with numbers; hint: what a person can try next.
    """

    hint = "check that the file is complete and of the kind you meant"

    def __init__(self, what: str, offset: int, why: str, hint: str | None = None) -> None:
        super().__init__(f"{what} at offset {offset:#x}: {why}")
        self.what = what
        self.offset = offset
        self.why = why
        if hint is not None:
            self.hint = hint


class Truncated(ParseError):
    """The input ends before the structure does."""

    hint = "the file was cut; look at the core size limit, the disk and the copy"


class Unsupported(ParseError):
    """Well-formed, but of a kind this program does not read."""

    hint = "this program reads 64-bit little-endian Linux cores of x86-64"
