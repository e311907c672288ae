"""Functions of a program by which it reports an error and ends itself: die(), log_fatal(), CheckFailure::Die().

Who calls them is the place that matters. They are told by their name, or by being given a text while the code behind
their call is never reached. What is asked is only where abort() was called from, so that a name alone moves a place
to the caller and claims nothing else; both are named.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Frame, Value
    from postmortem.model.report import FatalCall

_STRONG = frozenset(
    {
        "die", "fatal", "fatalf", "panic", "panicf", "abort", "bug", "oops", "croak", "bail", "bailout", "barf", "punt",
        "unreachable", "assert", "assertion", "terminate", "failure", "failed", "xabort", "xassert", "xdie",
    }
)  # fmt: skip
"""Words of a name that is taken for such a function's."""
_WEAK = frozenset(
    {
        "check", "fail", "ensure", "verify", "require", "expect", "enforce", "invariant", "contract", "precondition",
        "postcondition", "error", "err", "errx", "verr", "verrx", "crash", "quit", "exit", "stop", "halt", "trap",
    }
)  # fmt: skip
"""Words that count only where the function is given a text, or the code behind its call is never reached."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_FILE = re.compile(r"[\w./+@-]*\w\.(?:c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx|inl|ipp|inc|m|mm|pyx|cu)", re.IGNORECASE)
_STRING = re.compile(r'0x[0-9a-f]+ "(.+)"(?:\.\.\.)?')
_TEXT = re.compile(r"\bchar\b")
_CONVERSION = re.compile(r"%[-+ #0]*[0-9*]*(?:\.[0-9*]+)?(?:hh|h|ll|l|z|j|t)?[a-zA-Z]")
_SPOKEN = re.compile(r"(?<!\S)[A-Za-z][a-z]+(?=[\s,.:;!?]|$)")
_MOST = 6
"""Wrappers within wrappers that are looked at."""
_LONGEST = 400
"""Characters of a text that is told."""


class Reported(NamedTuple):
    """at, frame: the function to name, among the frames asked about. through: the wrappers, outermost first. why: by
    what the outermost is one; those within it are, too, or never return. texts: what was given as text, before values
    were put in; literal: those are literals of the program. said: as it was printed, as far as that is in memory."""

    at: int
    frame: Frame
    through: tuple[Frame, ...]
    why: str
    texts: tuple[str, ...] = ()
    literal: bool = False
    said: str | None = None


def reported(frames: Sequence[Frame], calls: Sequence[FatalCall] = ()) -> Reported | None:
    """The function that called the outermost wrapper around abort(); None where abort() has no wrapper."""
    passed: list[tuple[int, Frame, str | None]] = []
    at, ends = 0, False
    while (found := culprit.first(frames[at:])) is not None and len(passed) < _MOST:
        at, frame = at + found[0], found[1]
        call = _call(frame, frames, at, calls)
        why = _reason(frame, call)
        if why is None and len(passed) == 1 and ends and _is_message(call):
            why = "it is given a text, and what it calls does no more than end"
        if why is None and (call is None or not call.ends):
            ends = not passed and any(item.ends and item.returns_to == frame.pc for item in calls)
            above = culprit.first(frames[at + 1 :]) if ends else None
            if above is None or not _is_message(_call(above[1], frames, at + 1 + above[0], calls)):
                break
        passed.append((at, frame, why))
        at += 1
    while passed and (passed[-1][2] is None or culprit.first(frames[passed[-1][0] + 1 :]) is None):
        passed.pop()
    if not passed:
        return None
    outermost, why = passed[-1][0], passed[-1][2] or ""
    through = [frame for _, frame, _ in passed]
    above = culprit.first(frames[outermost + 1 :])
    assert above is not None
    at, found = outermost + 1 + above[0], above
    call = _call(through[-1], frames, outermost, calls)
    texts = _texts(_strings(through[-1], call), found[1])
    if not texts and len(through) > 1:
        inner = _call(through[-2], frames, passed[-2][0], calls)
        texts = _texts(_strings(through[-2], inner), through[-1])
        call = inner if texts else call
    literal, printed = (False, None) if call is None else (bool(call.strings), call.text)
    return Reported(at, found[1], tuple(reversed(through)), why, texts, literal, _said(texts, printed))


def _said(texts: Sequence[str], found: str | None) -> str | None:
    """The texts with what a format gave in its place; what was found alone where nothing was given."""
    if found is None or not texts:
        return found or ": ".join(texts)[:_LONGEST] or None
    return ": ".join(found if conversions(text)[1:] else text for text in texts)[:_LONGEST]


def conversions(template: str) -> list[str]:
    """The parts of a printf format between its conversions."""
    return _CONVERSION.split(template)


def _call(frame: Frame, frames: Sequence[Frame], at: int, calls: Sequence[FatalCall]) -> FatalCall | None:
    """What is known of the call of frames[at]: by where it returns to."""
    if frame.inlined:
        return None
    returns_to = next((above.pc for above in frames[at + 1 :]), None)
    return next((call for call in calls if call.returns_to == returns_to and returns_to is not None), None)


def _reason(frame: Frame, call: FatalCall | None) -> str | None:
    if frame.function is None or frame.kind != "native" or plain(frame.function) == "main":
        return None
    strong, weak = _words(frame.function)
    given = bool(_strings(frame, call))
    ends = call is not None and call.ends
    if strong:
        return "its name says so"
    if weak and ends:
        return "its name says so, and the code behind its call is never reached"
    if weak and given:
        return "its name says so, and it is given a text"
    return "it is given a text, and the code behind its call is never reached" if given and ends else None


def _is_message(call: FatalCall | None) -> bool:
    """A literal of several words is given."""
    return call is not None and any(len(_SPOKEN.findall(text)) > 1 for text in call.strings)


@functools.lru_cache(maxsize=1 << 10)
def _words(function: str) -> tuple[bool, bool]:
    """Whether a name has a strong, and a weak word. A class counts for its destructor and for methods of such names."""
    parts = plain(function).split("::")
    words = {word.lower() for word in _WORD.findall(parts[-1])}
    if len(parts) > 1 and (parts[-1].startswith(("~", "operator")) or words & (_STRONG | _WEAK)):
        words |= {word.lower() for word in _WORD.findall(parts[-2])}
    return bool(words & _STRONG), bool(words & _WEAK)


def _strings(frame: Frame, call: FatalCall | None) -> tuple[str, ...]:
    """Texts that a function was given: literals at its call, else what debug information knows of its arguments."""
    if call is not None and call.strings:
        return call.strings
    return tuple(text for value in frame.arguments if (text := _content(value)))


def _content(value: Value) -> str | None:
    """What a char * points at: `0x55… "cannot open %s"`."""
    match = _STRING.fullmatch(value.text) if value.unavailable is None and _TEXT.search(value.type or "") else None
    return match[1].replace('\\"', '"').replace("\\n", " ").strip() if match is not None else None


def _texts(strings: Sequence[str], caller: Frame) -> tuple[str, ...]:
    """The messages among the texts: not the file or the function that they come from."""
    name = plain(caller.function).rsplit("::", 1)[-1] if caller.function else ""
    file = file_name(caller.file) if caller.file else ""
    texts = [
        " ".join(text.split())
        for text in strings
        if not _FILE.fullmatch(text)
        and file_name(text) != file
        and text != name
        and not (name and re.search(rf"\b{re.escape(name)}\(", text) and text.endswith((")", "]", "const")))
    ]
    told: list[str] = []
    printed = 0  # arguments of a format, which are in what it gave
    for text in texts:
        if printed or len(text) < 2:
            printed = max(0, printed - 1)
            continue
        told.append(text)
        printed = sum(conversion.endswith("s") for conversion in _CONVERSION.findall(text))
    return tuple(told)
