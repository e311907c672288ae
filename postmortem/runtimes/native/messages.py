"""Last words of runtimes in memory: glibc's abort message, sanitizer reports, Rust panics.

glibc: __abort_msg points at {u32 size; char text[]} (stdlib/abort.h). The others print their text from a
buffer that still holds it; it is searched for in the writable memory that the core holds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from parsers.elf.notes import text as as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parsers.elf.core import Core
    from parsers.filebytes import FileBytes
    from postmortem.program.memory import AddressSpace

SCAN_LIMIT = 1 << 30
"""Bytes of writable memory that a search may touch."""
_LONGEST = 4096


class Runtime(NamedTuple):
    """signs: parts of function names that show it at work. needle: bytes to look for; text: the whole message."""

    name: str
    signs: tuple[str, ...]
    needle: bytes
    text: re.Pattern[bytes]


RUNTIMES = (
    Runtime(
        "AddressSanitizer",
        ("__asan", "AsanDie", "asan::"),
        b"ERROR: AddressSanitizer",
        re.compile(rb"(?:==\d+==)?ERROR: AddressSanitizer[^\0]{0,3000}"),
    ),
    Runtime(
        "ThreadSanitizer",
        ("__tsan", "tsan::"),
        b"WARNING: ThreadSanitizer",
        re.compile(rb"WARNING: ThreadSanitizer[^\0]{0,3000}"),
    ),
    Runtime(
        "MemorySanitizer",
        ("__msan",),
        b"WARNING: MemorySanitizer",
        re.compile(rb"(?:==\d+==)?WARNING: MemorySanitizer[^\0]{0,3000}"),
    ),
    Runtime(
        "UndefinedBehaviorSanitizer",
        ("__ubsan",),
        b": runtime error: ",
        re.compile(rb"[^\0\n]{1,400}: runtime error: [^\0\n]{1,1000}"),
    ),
    Runtime(
        "Rust",
        ("rust_panic", "panicking", "rust_begin_unwind"),
        b" panicked at ",
        re.compile(rb"thread '[^'\0]{0,100}'[^\0]{0,20} panicked at [^\0]{1,1000}"),
    ),
)


def abort_message(space: AddressSpace, variable: int | None) -> str | None:
    """glibc's text. `variable`: the address of __abort_msg."""
    pointer = space.word(variable) if variable is not None else None
    if not pointer:
        return None
    size = space.unsigned(pointer, 4)
    if size is None or not 8 < size <= 1 << 20:
        return None
    raw = space.read_some(pointer + 4, min(size - 4, _LONGEST)).split(b"\0", 1)[0]
    return as_text(raw).rstrip("\n") or None


def assertion(message: str | None) -> str | None:
    """The failed expression of an assert() message."""
    match = re.search(r"Assertion [`'](.*)' failed", message or "", re.DOTALL)
    return match[1] if match else None


def writable(core: Core) -> Iterator[tuple[int, int, int]]:
    """(address, offset in the core, size) of writable memory that was dumped, stacks last, up to SCAN_LIMIT."""
    left = SCAN_LIMIT
    for segment in core.segments:
        if segment.flags & 2 and segment.dumped and left > 0:
            size = min(segment.dumped, left)
            left -= size
            yield segment.start, segment.offset, size


def runtime_message(core: Core, content: FileBytes, functions: Sequence[str]) -> tuple[str | None, str | None]:
    """(runtime, its text), for the runtime whose functions are on the crashing stack."""
    for runtime, signs, needle, pattern in RUNTIMES:
        if not any(sign in function for function in functions for sign in signs):
            continue
        best = b""
        for _, offset, size in writable(core):
            at = content.find(needle, offset, offset + size)
            tries = 0
            while at >= 0 and tries < 64:
                start = max(offset, at - 500)
                for match in pattern.finditer(bytes(content[start : min(at + 3600, offset + size)])):
                    if len(match[0]) > len(best):
                        best = match[0]
                at = content.find(needle, at + 1, offset + size)
                tries += 1
        return runtime, (as_text(best[:_LONGEST]).strip() or None)
    return None, None
