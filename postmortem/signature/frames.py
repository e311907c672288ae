"""Which frames of a stack tell a crash apart, and by what names.

Frames fall into four classes: machinery (reports or passes on what its caller caused), entry (where a thread
begins), library (a runtime's or a library's code that carries the program's) and the program's own. A signature
is made of own frames; only a stack without any is told by its library frames, then by its entry.
Frames found by scanning the stack are never used: they may be of an earlier call.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Literal

import msgspec

from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import entries, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from postmortem.model import Frame

Class = Literal["machinery", "entry", "library", "own"]

_LAMBDA = re.compile(r"(?:.*::)?\{lambda\}(?:::operator ?\(\))?(?:::_FUN)?")
_SENDERS = re.compile(r"(?:__)?(?:pthread_kill|raise|abort|gsignal|tgkill|kill)\w*|__GI_(?:raise|abort|kill)\w*")
"""Of glibc and musl: functions by which a process signals itself."""
_LISTS = "postmortem.signature"
_LONGEST = 160
"""Characters of a function's name in a signature."""


@functools.cache
def _replacements() -> tuple[tuple[re.Pattern[str], str], ...]:
    rows = (line.partition("\t") for line in entries(_LISTS, "java_names.txt"))
    return tuple((re.compile(pattern), replacement) for pattern, _, replacement in rows)


def is_java(frame: Frame) -> bool:
    """A frame of a Java method."""
    return frame.kind.startswith("java")


def classify(frame: Frame) -> Class:
    """The class of a frame; see the module."""
    if is_java(frame):
        return "library" if _matches("java_platform.txt", java_name(frame.function or ""), whole=False) else "own"
    if frame.kind == "stub" or frame.kind == "unknown" or culprit.machinery(frame):
        return "machinery"
    function = plain(frame.function) if frame.function is not None else None
    if function is not None and _matches("reporters.txt", function):
        return "machinery"
    if function is not None and _matches("entry.txt", function):
        return "entry"
    if frame.module is not None and _matches("library_modules.txt", file_name(frame.module)):
        return "library"
    if frame.file is not None and _matches("library_files.txt", frame.file):
        return "library"
    if function is not None and _matches("library.txt", function):
        return "library"
    if function is None and frame.module is None:
        return "machinery"  # generated code without a name: its address differs from run to run
    return "own"


@functools.lru_cache(maxsize=1 << 14)
def _matches(list_name: str, text: str, whole: bool = True) -> bool:
    patterns = listed(_LISTS, list_name)
    return patterns.fullmatch(text) if whole else patterns.match(text)


@functools.lru_cache(maxsize=1 << 14)
def java_name(function: str) -> str:
    """A method's name without what a run or a build makes up: numbers of lambdas, proxies and hidden classes."""
    for pattern, replacement in _replacements():
        function = pattern.sub(replacement, function)
    return function[:_LONGEST]


@functools.lru_cache(maxsize=1 << 14)
def native_name(function: str) -> str:
    """The plain name; a lambda is "{lambda}", whose enclosing function only some builds name."""
    name = plain(function)
    if name in ("operator()", "operator ()") or _LAMBDA.fullmatch(name):
        return "{lambda}"
    return name[:_LONGEST]


def name(frame: Frame) -> str | None:
    """What a signature calls a frame: its function, else "libcart.so+0x1f30", else None.

    An offset into a platform's library is no name: it says which build that was, not what was called.
    """
    if frame.function is not None:
        return java_name(frame.function) if is_java(frame) else native_name(frame.function)
    if frame.module is None or frame.module_offset is None or classify(frame) != "own":
        return None
    return f"{file_name(frame.module)}+{frame.module_offset:#x}"


def with_tail_calls(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, and before each whose call left by a tail call the function that it had called."""
    for frame in frames:
        if frame.tail_call is not None:
            yield msgspec.structs.replace(
                frame, function=frame.tail_call, tail_call=None, file=None, line=None, inlined=True
            )
        yield frame


def telling(frames: Iterable[Frame]) -> list[Frame]:
    """The frames that tell this stack apart, innermost first: its own ones, else what comes closest."""
    trusted = [frame for frame in with_tail_calls(frames) if frame.trust != "scan" and frame.kind != "signal"]
    classes = [classify(frame) for frame in trusted]
    for wanted in ("own", "library", "entry"):
        found = [frame for frame, kind in zip(trusted, classes, strict=True) if kind == wanted and name(frame)]
        if found:
            return found
    # What lies deeper passes on anything; the function that faulted says at least what it was about, but for one that
    # only sent the signal.
    return [
        frame
        for frame in trusted[:1]
        if frame.trust == "context" and name(frame) and not _SENDERS.fullmatch(plain(frame.function or ""))
    ]


def own(frames: Iterable[Frame]) -> list[Frame]:
    """The program's own frames with a name, innermost first."""
    named = (frame for frame in with_tail_calls(frames) if frame.trust != "scan" and frame.kind != "signal")
    return [frame for frame in named if classify(frame) == "own" and name(frame)]


def names(frames: Iterable[Frame]) -> list[str]:
    """Their names, repetitions told once."""
    return collapsed([found for frame in frames if (found := name(frame)) is not None])


def collapsed(found: Sequence[str]) -> list[str]:
    """Without repetitions: a name, or a run of up to four, that follows itself is told once."""
    kept: list[str] = []
    for item in found:
        kept.append(item)
        for period in range(1, 5):
            if len(kept) >= 2 * period and kept[-period:] == kept[-2 * period : -period]:
                del kept[-period:]
                break
    return kept


def first_rotation(found: Sequence[str]) -> list[str]:
    """A cycle of names, from a start that does not depend on where the stack ended."""
    rotations = (list(found[start:]) + list(found[:start]) for start in range(len(found)))
    return min(rotations, default=[])
