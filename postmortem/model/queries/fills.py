"""What filled the memory that a bad pointer was read from, as far as this process tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries import crash as views
from postmortem.model.queries import pointers

if TYPE_CHECKING:
    from postmortem.model import Report

_TUNABLE = re.compile(r"(?:^|:)glibc\.malloc\.perturb=(0x[0-9a-fA-F]{1,8}|[0-9]{1,9})(?:$|:)")
_MEMBER = 4096
_SHORTEST, _LONGEST = 3, 4
_TEXT = re.compile(rb"[\x21-\x7e]+")


def perturbed(report: Report) -> tuple[int, str] | None:
    """(byte, path of the variable that asks for it) where glibc fills freed memory with a byte of the user's choice.

    It fills what it gives out with the complement (malloc/malloc.c, alloc_perturb).
    """
    environment = report.process.environment
    said = environment.get("MALLOC_PERTURB_", "")
    if said.isdecimal() and len(said) < 10 and int(said) & 0xFF:
        return int(said) & 0xFF, "process.environment.MALLOC_PERTURB_"
    found = _TUNABLE.search(environment.get("GLIBC_TUNABLES", ""))
    if found is not None and int(found[1], 0) & 0xFF:
        return int(found[1], 0) & 0xFF, "process.environment.GLIBC_TUNABLES"
    return None


def is_filled(value: int, byte: int) -> bool:
    """Whether a pointer is made of one byte; the offset of a member may have been added."""
    return 0 <= value - int.from_bytes(bytes([byte]) * 8, "big") < _MEMBER


def never_set(report: Report, value: int) -> bool:
    """Whether a pointer is what glibc, asked to, fills the memory with that it gives out."""
    found = perturbed(report)
    return found is not None and is_filled(value, found[0] ^ 0xFF)


def describe(report: Report, value: int) -> str | None:
    """A sentence on what the word looks like, or None."""
    found = perturbed(report)
    if found is not None and is_filled(value, found[0]):
        return f"{value:#x} is made of the byte {found[0]:#04x}, with which glibc was told to fill freed memory."
    if found is not None and never_set(report, value):
        return (
            f"{value:#x} is made of the byte {found[0] ^ 0xFF:#04x}, with which glibc was told to fill memory that it"
            " gives out: the pointer was never set."
        )
    return pointers.describe(value, lambda owner: views.has_module(report, owner) is not None) or _partly_text(
        report, value
    )


def _partly_text(report: Report, value: int) -> str | None:
    """A sentence on a pointer whose lowest bytes are a short text with its NUL, where the others are of an address."""
    if views.mapping_at(report, value) is not None or not 0 < value < 1 << 47:
        return None
    raw = value.to_bytes(8, "little")
    for count in range(_SHORTEST, _LONGEST + 1):
        if raw[count] == 0 and _TEXT.fullmatch(raw[:count]):
            rest = 8 * (count + 1)
            if value >> rest and any(mapping.start >> rest == value >> rest for mapping in report.mappings):
                return (
                    f"The lowest bytes of {value:#x} are the text {raw[:count].decode()!r} with its NUL, the others are"
                    " of an address of this process: most likely the end of a string was written over the beginning of"
                    " a pointer."
                )
    return None
