"""What a program printed about itself before it aborted: "shape.cc:17: check failed: n > 0".

A macro that checks something is often compiled into its caller, and its literals are in registers no more when abort()
is called. The line that it printed is still there: in the buffer that printf uses for an unbuffered stream, below the
stack pointer by then, or in a string that the stack points at.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.report import Printed
from postmortem.runtimes.native.places import words_of, writable_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parsers.elf.core import Core
    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace
    from postmortem.runtimes.native.places import Places

_BELOW = 24 << 10
"""Bytes below the stack pointer: a buffer of BUFSIZ (glibc: 8192) and the frames of printf around it. Saved registers
lie there, too (_dl_runtime_resolve), with parts of texts that were copied."""
_PLACE = re.compile(
    rb"(?<![\w./+@-])([\w./+@-]*\w\.(?:c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx|inl|ipp|m|mm))(?::|\()([0-9]{1,7})[:)\]]+ ?"
)
_LINE = re.compile(_PLACE.pattern + rb"([\x20-\x7e\x80-\xff]{4,400})")
_FAILED = re.compile(
    r"\b(?:check|assert\w*|precondition|invariant|fatal|panic|abort\w*|bug|fail\w*|unreachable|violat\w*)\b",
    re.IGNORECASE,
)
_LEAST, _LONGEST = 8, 1024
_CALLERS = 3
"""Functions of the program in whose files the place may be."""


def printed(core: Core, space: AddressSpace, frames: Sequence[Frame], places: Places) -> Printed | None:
    """The line, if there is one only. frames: the crashing stack, innermost first."""
    own = list(_own(frames))
    files = {file_name(frame.file) for frame in own if frame.file}
    lines = {(file_name(frame.file), frame.line) for frame in own if frame.file and frame.line}
    for pieces in (_on_stack(core, space, places), _below(space, places)):
        found: dict[tuple[str, int], tuple[tuple[bool, int], str]] = {}
        for match in (match for raw in pieces for match in _LINE.finditer(raw)):
            file, line = file_name(match[1].decode()), int(match[2])
            text = _PLACE.split(match[3], maxsplit=1)[0].decode("utf-8", "replace").strip()
            exact = (file, line) in lines
            if exact or (_FAILED.search(text) and (not files or file in files)):
                rank = exact, len(text)
                found[file, line] = max(found.get((file, line), (rank, text)), (rank, text))
        best = {key: text for key, ((exact, _), text) in found.items() if exact} or {
            key: text for key, (_, text) in found.items()
        }
        if len(best) == 1:
            (file, line), text = next(iter(best.items()))
            return Printed(file=file, line=line, text=text)
        if best:
            return None  # of two it could be either
    return None


def _own(frames: Sequence[Frame]) -> Iterator[Frame]:
    at = 0
    for _ in range(_CALLERS):
        found = culprit.first(frames[at:])
        if found is None:
            return
        at += found[0] + 1
        yield found[1]


def _below(space: AddressSpace, places: Places) -> Iterator[bytes]:
    """What calls that are over have left below the stack pointer."""
    start, _ = places.stack(8)
    if start:
        yield space.read_some(start - _BELOW, _BELOW)


def _on_stack(core: Core, space: AddressSpace, places: Places) -> Iterator[bytes]:
    """The stack, and the strings and string streams on it: a pointer, and behind it the length or the end."""
    _, raw = places.stack()
    yield raw
    number = 0
    for pointer, after in pairwise(words_of(raw)):
        size = after - pointer if pointer < after <= pointer + _LONGEST else after
        if _LEAST <= size <= _LONGEST and 0x10000 <= pointer < 1 << 47 and writable_at(core, pointer):
            number += 1
            if number > LIMITS.places_pointers:
                return
            yield space.read_some(pointer, size)
