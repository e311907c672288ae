"""Last words of runtimes in memory: glibc's abort message, sanitizer reports, Rust panics.

glibc: __abort_msg points at {u32 size; char text[]} (stdlib/abort.h). The others print their text from a
buffer that still holds it; it is searched for in the likely places of the memory that the core holds (places.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from parsers.elf.notes import text as as_text
from parsers.limits import LIMITS
from postmortem.runtimes.native.places import words_of, writable_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.elf.core import Core
    from postmortem.program.memory import AddressSpace
    from postmortem.runtimes.native.places import Places

_LONGEST = LIMITS.messages_longest
_PAGE = 4096
_MOST_WORDS = LIMITS.messages_words
_BEFORE, _AFTER = 600, 3600
"""Bytes around a needle in which the whole message is looked for."""


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
        re.compile(rb"thread '[^'\0]{0,100}'[^\0]{0,20} panicked at (?:[^\0\n]{1,400}:\n)?[^\0\n]{1,1000}"),
    ),
    Runtime(
        "glog",
        ("google::LogMessage", "google::logging_fail"),
        b"] ",
        re.compile(rb"F\d{4}(?:\d{4})? \d\d:\d\d:\d\d\.\d+ +\d+ [^\0\n:]{1,200}:\d+\] [^\0]{1,1000}"),
    ),
    Runtime(
        "Abseil",
        ("absl::log_internal::", "::log_internal::LogMessage", "absl::lts_"),
        b"] ",
        re.compile(rb"F\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [^\0\n:]{1,200}:\d+\] [^\0]{1,1000}"),
    ),
    Runtime(
        "tcmalloc",
        ("tcmalloc", "InvalidFree", "tc_free", "RAW_LOG"),
        b"src/",
        re.compile(rb"src/[\w./-]+\.cc:\d+\] [^\0\n]{1,500}"),
    ),
    Runtime(
        "jemalloc",
        ("jemalloc", "je_", "safety_check"),
        b"<jemalloc>: ",
        re.compile(rb"<jemalloc>: [^\0\n]{1,500}"),
    ),
    Runtime(
        "mimalloc",
        ("mi_free", "_mi_", "mi_"),
        b"mimalloc: error: ",
        re.compile(rb"mimalloc: error: [^\0\n]{1,500}"),
    ),
    Runtime(
        "Scudo",
        ("scudo::",),
        b"Scudo ERROR: ",
        re.compile(rb"Scudo ERROR: [^\0\n]{1,500}"),
    ),
)


def abort_message(space: AddressSpace, variable: int | None) -> str | None:
    """glibc's text. `variable`: the address of __abort_msg."""
    pointer = space.word(variable) if variable is not None else None
    if not pointer:
        return None
    size = space.unsigned(pointer, 4)
    if size is None or not 8 < size <= LIMITS.messages_mapping:
        return None
    raw = space.read_some(pointer + 4, min(size - 4, _LONGEST)).split(b"\0", 1)[0]
    return as_text(raw).rstrip("\n") or None


def assertion(message: str | None) -> str | None:
    """The failed expression of an assert() message."""
    match = re.search(r"Assertion [`'](.*)' failed", message or "", re.DOTALL)
    return match[1] if match else None


def abort_message_by_form(core: Core, space: AddressSpace, ranges: Sequence[tuple[int, int]]) -> str | None:
    """As abort_message, where no symbol tells where __abort_msg is: a word in libc's data that points at such a text.

    ranges: of libc's module, or of the executable that has libc in it. The text lies in a mapping of its own, at its
    start or behind a neighbour, from a page's start; its size word is whole pages (glibc posix/libc_fatal.c).
    """
    left = _MOST_WORDS
    for start, end in ranges:
        for segment in core.segments:
            if not segment.flags & 2 or not segment.dumped or not start <= segment.start < end or left <= 0:
                continue
            for word in words_of(space.read_some(segment.start, min(segment.dumped, 8 * left))):
                left -= 1
                if word & (_PAGE - 1) or not 0x10000 <= word < 1 << 47 or not writable_at(core, word):
                    continue
                size = space.unsigned(word, 4)
                if not size or size & (_PAGE - 1) or size > LIMITS.messages_mapping:
                    continue
                text = space.cstring(word + 4, _LONGEST)
                if text and len(text) > 7 and _LIBC_SAID.search(text):
                    return as_text(text).rstrip("\n")
    return None


_LIBC_SAID = re.compile(
    rb"\*\*\* .* \*\*\*|Assertion [`'].*' failed|Unexpected error|Fatal (?:error|glibc)|^(?:free|malloc|realloc|"
    rb"munmap_chunk|calloc|corrupted|double free|malloc_\w+|unaligned|invalid)\b|"
    rb"\): (?:invalid|corrupt|unaligned|double)"
)


def runtime_message(places: Places, functions: Sequence[str]) -> tuple[str | None, str | None]:
    """(runtime, its text), for the runtime whose functions are on the crashing stack."""
    for runtime, signs, needle, pattern in RUNTIMES:
        if any(sign in function for function in functions for sign in signs):
            found = matches(places, needle, pattern)
            return runtime, as_text(found[:_LONGEST]).strip() if found else None
    return None, None


def matches(places: Places, needle: bytes, pattern: re.Pattern[bytes]) -> bytes | None:
    """The longest text of the first place that has one."""
    for _, raw in places.pieces():
        best = b""
        at = raw.find(needle)
        tries = 0
        while at >= 0 and tries < 256:
            for match in pattern.finditer(raw, max(0, at - _BEFORE), min(at + _AFTER, len(raw))):
                if len(match[0]) > len(best):
                    best = match[0]
            at = raw.find(needle, at + 1)
            tries += 1
        if best:
            return best
    return None
