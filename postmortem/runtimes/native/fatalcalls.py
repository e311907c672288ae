"""What the functions were given by which a program ends itself: literals that their callers load into registers.

A wrapper around abort() is called with a text; where that is a printf format, what it gave is looked for in memory: in
the wrapper's buffer, or on the stack. A text without any that starts with the place of the call, as loggers write it,
counts as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.machines.x86_64.constants import constants_at_call
from postmortem.model import Address
from postmortem.model.queries import culprit, wrappers
from postmortem.model.queries.files import file_name
from postmortem.model.report import FatalCall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace
    from postmortem.runtimes.native.places import Places

_ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
_FRAMES = 24
"""Innermost frames whose calls are looked at."""
_WRAPPERS = 8
"""Frames from the first of the program's own on."""
_GO = "runtime."
"""Go's run-time ends a process in its own way."""
_PADDING = re.compile(rb"(?:\x0f\x0b|\xcc|\x90|\xf4)*")
_IS_FORMAT = re.compile(rb"%[-+ #0-9.*]*(?:hh|h|ll|l|z|j|t)?[diouxXeEfgGcsp]")
_LEAST = 6
"""Characters that a format's longest fixed part must have, to be found by it."""
_BEFORE = 400
_LONGEST = 1024


def fatal_calls(
    space: AddressSpace,
    frames: Sequence[Frame],
    bounds_at: Callable[[int], tuple[int, int] | None],
    places: Places,
) -> tuple[FatalCall, ...]:
    """The calls that led to abort(), as far as they are told by wrappers.reported(). frames: the crashing stack."""
    found: list[FatalCall] = []
    first = culprit.first(frames[:_FRAMES])
    if (
        first is None
        or first[1].function is None
        or any((f.function or "").startswith(_GO) for f in frames[:_FRAMES])
        or culprit.first(frames[first[0] + 1 : _FRAMES]) is None
    ):
        return ()
    aborts, bounds = first[1].pc, bounds_at(first[1].pc - 1) if first[1].pc else None
    if aborts is not None and bounds is not None and not first[1].inlined and _ends(space, aborts, bounds):
        found.append(FatalCall(returns_to=aborts, ends=True))
    for index, frame in enumerate(frames[: first[0] + _WRAPPERS]):
        if index < first[0]:
            continue
        returns_to = frames[index + 1].pc if index + 1 < len(frames) else None
        if frame.inlined or frame.kind != "native" or returns_to is None or frames[index + 1].trust == "scan":
            continue
        bounds = bounds_at(returns_to - 1)
        # Without a symbol the way to the call would have to be guessed, which takes long.
        known = {} if bounds is None else constants_at_call(space, returns_to, bounds[0])
        strings = [text for name in _ARGUMENTS if (text := _string(space, known.get(name))) is not None]
        ends = bounds is not None and _ends(space, returns_to, bounds)
        if strings or ends:
            found.append(FatalCall(returns_to=Address(returns_to), strings=tuple(strings), ends=ends))
    reported = wrappers.reported(frames, found)
    if reported is None:
        return ()
    inner = {frame.pc for frame in frames[: reported.at + 1]}
    found = [call for call in found if call.returns_to in inner]
    return _with_text(found, reported, frames, places)


def _with_text(
    found: list[FatalCall], reported: wrappers.Reported, frames: Sequence[Frame], places: Places
) -> tuple[FatalCall, ...]:
    import msgspec

    text = None
    formats = [parts for given in reported.texts if len(parts := wrappers.conversions(given)) > 1]
    if formats:
        text = _formatted(formats[0], places)
    elif not reported.texts and reported.frame.file and reported.frame.line:
        text = _line_of(f"{file_name(reported.frame.file)}:{reported.frame.line}", places)
    at = next((index for index, frame in enumerate(frames) if frame is reported.through[0]), None)
    returns_to = frames[at + 1].pc if at is not None and at + 1 < len(frames) else None
    if text is None or returns_to is None:
        return tuple(found)
    told = next((call for call in found if call.returns_to == returns_to), None)
    rest = [call for call in found if call is not told]
    told = told or FatalCall(returns_to=Address(returns_to))
    return (*rest, msgspec.structs.replace(told, text=text))


def _ends(space: AddressSpace, returns_to: int, bounds: tuple[int, int]) -> bool:
    """Whether nothing but padding follows a call in its function: it does not return."""
    start, size = bounds
    left = start + size - returns_to
    if not size or left < 0:
        return False
    if left == 0:
        return True
    code = space.read(returns_to, left) if left <= LIMITS.constants_longest_function else None
    return code is not None and _PADDING.fullmatch(code) is not None


def _string(space: AddressSpace, pointer: int | None) -> str | None:
    raw = space.cstring(pointer, _LONGEST) if pointer else None
    if not raw:
        return None
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return text if len(text) > 1 and all(letter.isprintable() or letter in "\n\t" for letter in text) else None


def _formatted(parts: Sequence[str], places: Places) -> str | None:
    """A text in memory that a printf format with these fixed parts gave, not the format itself."""
    needle = max(parts, key=len)
    if len(needle) < _LEAST:
        return None
    pattern = re.compile(rb"[^\0\n]{0,400}?".join(re.escape(part.encode()) for part in parts) + rb"(?=[\0\n])")
    before = _BEFORE if parts[0] != needle else 0
    for _, raw in places.pieces():
        at = raw.find(needle.encode())
        while at >= 0:
            start = max(raw.rfind(b"\0", max(0, at - before), at), raw.rfind(b"\n", max(0, at - before), at)) + 1
            start = at if not before else max(start, at - before)
            match = pattern.search(raw, start, start + _LONGEST)
            if match is not None and match.start() <= at and not _IS_FORMAT.search(match[0]):
                return match[0].decode("utf-8", "replace").strip()
            at = raw.find(needle.encode(), at + 1)
    return None


def _line_of(place: str, places: Places) -> str | None:
    """The longest line in memory that begins with the place of a call: "shape.cc:17: Check failed: …"."""
    pattern = re.compile(rb"(?<![^\0\n\[ /(])" + re.escape(place.encode()) + rb"[:\])][^\0\n]{4,400}")
    best = b""
    for _, raw in places.pieces():
        for match in pattern.finditer(raw):
            best = max(best, match[0], key=len)
        if best:
            break
    text = best.decode("utf-8", "replace")
    return text.strip() if text and text.isprintable() else None
