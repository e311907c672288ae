"""Which frames of a stack tell a crash apart, and by what names.

Frames fall into four classes: machinery (reports or passes on what its caller caused), entry (where a thread
begins), library (a runtime's or a library's code that carries the program's) and the program's own. A signature
is made of own frames; only a stack without any is told by its library frames, then by its entry.
Frames found by scanning the stack are never used: they may be of an earlier call.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import entries, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from postmortem.model import Frame

T = TypeVar("T")
Class = Literal["machinery", "entry", "library", "own"]

_LAMBDA = re.compile(r"(?:.*::)?\{lambda\}(?:::operator ?\(\))?(?:::_FUN)?")
_SENDERS = re.compile(r"(?:__)?(?:pthread_kill|raise|abort|gsignal|tgkill|kill)\w*|__GI_(?:raise|abort|kill)\w*")
"""Of glibc and musl: functions by which a process signals itself."""
_SORTS = re.compile(
    r"_*(?:msort_with_tmp|qsort(?:_r)?|_?quicksort|introsort\w*|heapsort_r|insertion_sort\w*|bsearch|lfind|lsearch"
    r"|t(?:search|find|delete)|wrapper_cmp|smoothsort|sift|trinkle)"
)
"""Of C libraries: what calls a comparator."""
_GO_CLOSURE = re.compile(r"(?:\.(?:func|gowrap|deferwrap)\d+(?:\.\d+)*)+$")
"""Of Go: a function within a function, by a number that every other one before it changes."""
_GO_MAIN = re.compile(r"main\.main(?:\.(?:func|gowrap|deferwrap)\d+(?:\.\d+)*)+")
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


def with_file(frame: Frame) -> str:
    """An entry with its source file: main() alone says little, every program has one."""
    found = name(frame) or ""
    return f"{found} ({file_name(frame.file)})" if frame.file else found


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
    classes = _without_comparator(trusted, [classify(frame) for frame in trusted])
    for wanted in ("own", "library", "entry"):
        found = [frame for frame, kind in zip(trusted, classes, strict=True) if kind == wanted and name(frame)]
        if found:
            return found[:-1] if len(found) > 1 and _goroutine_of_main(found[-1]) else found
    # What lies deeper passes on anything; the function that faulted says at least what it was about, but for one that
    # only sent the signal.
    return [
        frame
        for frame in trusted[:1]
        if frame.trust == "context" and name(frame) and not _SENDERS.fullmatch(plain(frame.function or ""))
    ]


def _without_comparator(frames: Sequence[Frame], classes: list[Class]) -> list[Class]:
    """The classes, where a comparator between qsort() and what it called in the C library counts as machinery.

    If that was its last call it is often a jump, by which its frame is lost.
    """
    first = next((index for index, kind in enumerate(classes) if kind == "own"), 0)
    last = first
    while last + 1 < len(frames) and frames[last].inlined:
        last += 1
    below = frames[last + 1] if last + 1 < len(frames) else None
    if first and below is not None and below.function is not None and _SORTS.fullmatch(plain(below.function)):
        skipped: list[Class] = ["machinery"] * (last + 1 - first)
        return [*classes[:first], *skipped, *classes[last + 1 :]]
    return classes


def _goroutine_of_main(frame: Frame) -> bool:
    """What the compiler makes of `go f()` in main.main: the main goroutine, which calls f() too, has no such frame."""
    return frame.function is not None and _GO_MAIN.fullmatch(frame.function) is not None


def own(frames: Iterable[Frame]) -> list[Frame]:
    """The program's own frames with a name, innermost first."""
    named = (frame for frame in with_tail_calls(frames) if frame.trust != "scan" and frame.kind != "signal")
    return [frame for frame in named if classify(frame) == "own" and name(frame)]


def names(frames: Iterable[Frame]) -> list[str]:
    """Their names, repetitions told once."""
    found = [item for frame in frames if (item := name(frame)) is not None]
    return collapsed([*found[:1], *(_GO_CLOSURE.sub("", item) for item in found[1:])])


def collapsed(found: Sequence[T], key: Callable[[T], object] = lambda item: item) -> list[T]:
    """Without repetitions: a name, or a run of up to four, that follows itself is told once."""
    kept: list[T] = []
    keys: list[object] = []
    for item in found:
        kept.append(item)
        keys.append(key(item))
        for period in range(1, 5):
            if len(kept) >= 2 * period and keys[-period:] == keys[-2 * period : -period]:
                del kept[-period:], keys[-period:]
                break
    return kept


def first_rotation(found: Sequence[str]) -> list[str]:
    """A cycle of names, from a start that does not depend on where the stack ended."""
    rotations = (list(found[start:]) + list(found[:start]) for start in range(len(found)))
    return min(rotations, default=[])
