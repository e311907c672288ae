"""What the bytes of a bad pointer look like: text, a float, a known fill pattern."""

from __future__ import annotations

import functools
import re
import struct
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMBER = 4096
POISON_FILE = "poison.txt"


@functools.cache
def _poison() -> tuple[tuple[bytes, str, str], ...]:
    """(pattern bytes most significant first, allocator or "any", meaning) of triage/lists/poison.txt."""
    text = resources.files("postmortem.model.queries").joinpath("lists", POISON_FILE).read_text(encoding="utf-8")
    rows = (line.split(None, 2) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return tuple((bytes.fromhex(pattern), owner, meaning) for pattern, owner, meaning in rows)


def poison(value: int) -> tuple[str, str, str] | None:
    """(pattern in hex, allocator that writes it or "any", meaning) when `value` is made of a fill pattern.

    The low 12 bits may differ: a member's offset was added to the pointer. Patterns of one byte must fill
    the word, longer ones must repeat in it or fill its low or high half.
    """
    if value <= 0xFFFF or value >= 1 << 64:
        return None
    for pattern, owner, meaning in _poison():
        for width in (8, 4):
            filled = int.from_bytes(pattern * (width // len(pattern)), "big")
            high = value >> 32
            same_low = (value ^ filled) >> 12 == 0 or 0 <= value - filled < 4096
            half = width == 4 and len(pattern) == 4 and high == filled
            if len(pattern) <= width and ((same_low and (width == 8 or len(pattern) == 4)) or half):
                return pattern.hex(), owner, meaning
    return None


def as_text(value: int) -> str | None:
    """The word as little-endian text when at least six of its bytes are letters, digits or punctuation."""
    raw = (value & (1 << 64) - 1).to_bytes(8, "little").rstrip(b"\0")
    if len(raw) >= 6 and re.fullmatch(rb"[\x20-\x7e\t\n\r]+", raw):
        return raw.decode("ascii")
    return None


def as_wide_text(value: int) -> str | None:
    """The word as four little-endian UTF-16 characters of ASCII, as Java and Windows keep them."""
    raw = (value & (1 << 64) - 1).to_bytes(8, "little")
    if any(raw[1::2]) or not re.fullmatch(rb"[\x20-\x7e]{4}", raw[::2]):
        return None
    return raw[::2].decode("ascii")


def as_float(value: int) -> float | None:
    """The word as a double when that is a number people write: 1e-6 to 1e12, with few significant digits."""
    number: float = struct.unpack("<d", (value & (1 << 64) - 1).to_bytes(8, "little"))[0]
    if 1e-6 <= abs(number) <= 1e12 and float(f"{number:.9g}") == number:
        return number
    return None


LOWEST_ERROR = (1 << 64) - 4095
"""Pointers from here on are no addresses: what calls return instead of one, as MAP_FAILED, -1."""


def as_error(value: int) -> str | None:
    """A sentence on a small negative number that stands in a pointer's place."""
    if value == (1 << 64) - 1:
        return (
            "All its bits are set: -1, which calls return instead of a pointer (MAP_FAILED, shmat), or memory that was"
            " filled with 0xff."
        )
    if LOWEST_ERROR <= value < 1 << 64:
        return f"It is {value - (1 << 64)} as a signed number: a negative result or error number taken for a pointer."
    return None


def _filled(value: int) -> str | None:
    """A sentence on a word of one repeated byte."""
    byte = (value & (1 << 64) - 1) >> 56
    offset = value - int.from_bytes(bytes([byte]) * 8, "big")
    if byte in (0, 0xFF) or not 0 <= offset < _MEMBER:
        return None
    character = f" ({chr(byte)!r} as text)" if 0x20 < byte < 0x7F else ""
    which = f"{value:#x}" if not offset else f"the pointer below {value:#x}"
    return f"Each byte of {which} is {byte:#04x}{character}: memory that was filled with one byte stands in its place."


def describe(value: int, loaded: Callable[[str], bool] = lambda owner: False) -> str | None:
    """A sentence on what the word looks like, or None. loaded: whether a pattern's allocator is in the process."""
    if (error := as_error(value)) is not None:
        return error
    if found := poison(value):
        text = as_text(value)
        either = "" if text is None else f" It is the text {text!r}, too."
        if found[1] != "any" and not loaded(found[1]):
            return _filled(value) or f"{value:#x} carries the pattern {found[0]}.{either}"
        return f"{value:#x} carries the pattern {found[0]}: {found[2]}.{either}"
    if (filled := _filled(value)) is not None:
        return filled
    if (text := as_text(value)) is not None:
        return f"The bytes of {value:#x} are text, {text!r}, which stands in its place."
    if (text := as_wide_text(value)) is not None:
        return f"The bytes of {value:#x} are UTF-16 text, {text!r}: characters stand where the pointer should be."
    if (number := as_float(value)) is not None:
        return f"The bits of {value:#x} are the floating-point number {number:g}: a number was taken for a pointer."
    return None
