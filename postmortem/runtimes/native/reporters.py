"""Functions that are called with a failed check's text, and which of their arguments have it.

The arguments are literals, so the caller loads them just before the call (machines/x86_64/constants.py). Layouts: glibc
and musl assert/assert.c; newlib __assert_func; libstdc++ bits/c++config.h; Qt qglobal.h; GLib gtestutils.h; V8
src/base/logging.h, include/v8-internal.h; Abseil base/internal/raw_logging.h; Boost assert.hpp.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.machines.x86_64.constants import constants_at_call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace
    from postmortem.runtimes.native.places import Places

_MOST_LINES = LIMITS.reporters_lines
_CONVERSION = re.compile(r"%[-+ #0]*[0-9*]*(?:\.[0-9*]+)?(?:hh|h|ll|l|z|j|t)?[a-zA-Z]")
_LEAST_PART = 4
"""Characters that a format must have before its first conversion, to be found by them."""


class Reporter(NamedTuple):
    """name: of the function; the rest: registers with a string, `line` with a number.

    text: register with a printf format, whose own arguments are in `arguments`; or the text itself where no register
    has it, in `fixed`.
    """

    runtime: str
    name: re.Pattern[str]
    file: str = ""
    line: str = ""
    function: str = ""
    expression: str = ""
    text: str = ""
    arguments: tuple[str, ...] = ()
    fixed: str = ""


REPORTERS = (
    Reporter("libstdc++", re.compile(r"std::__\w+_assert(_fail)?\b.*"), "rdi", "rsi", "rdx", "rcx"),
    Reporter("assert", re.compile(r"(__GI_)?__assert_fail"), "rsi", "rdx", "rcx", "rdi"),
    Reporter("assert", re.compile(r"__assert_func"), "rdi", "rsi", "rdx", "rcx"),
    Reporter("assert", re.compile(r"__assert"), "rsi", "rdx", "", "rdi"),
    Reporter("assert", re.compile(r"boost::assertion_failed(_msg)?\b.*"), "rdx", "rcx", "rsi", "rdi"),
    Reporter("Qt", re.compile(r"qt_assert(\(.*)?"), "rsi", "rdx", "", "rdi"),
    Reporter("Qt", re.compile(r"qt_assert_x(\(.*)?"), "rdx", "rcx", "rdi", "rsi"),
    Reporter("GLib", re.compile(r"g_assertion_message_expr"), "rsi", "rdx", "rcx", "r8"),
    Reporter(
        "Abseil", re.compile(r"absl::.*raw_log(ging)?_internal::RawLog\b.*"), "rsi", "rdx", text="rcx",
        arguments=("r8", "r9"),
    ),
    Reporter(
        "V8", re.compile(r"V8_Fatal\(char const\*, int, char const\*.*"), "rdi", "rsi", text="rdx",
        arguments=("rcx", "r8", "r9"),
    ),
    Reporter("V8", re.compile(r"V8_Fatal\(char const\*.*"), text="rdi", arguments=("rsi", "rdx", "rcx", "r8")),
    Reporter("V8", re.compile(r"v8::internal::V8::FatalProcessOutOfMemory\(.*"), text="rsi"),
    Reporter("V8", re.compile(r"v8::internal::Heap::FatalProcessOutOfMemory\(.*"), text="rsi"),
    Reporter("V8", re.compile(r"v8::Utils::ReportApiFailure\(.*"), function="rdi", text="rsi"),
    Reporter("V8", re.compile(r"v8::internal::Isolate::CreateMessageOrAbort\(.*"),
             fixed="uncaught JavaScript exception, and --abort-on-uncaught-exception"),
    Reporter("V8", re.compile(r"node::Abort\(.*"), fixed="process.abort() was called"),
    Reporter("Python", re.compile(r"_Py_FatalErrorFunc"), function="rdi", text="rsi"),
    Reporter("Python", re.compile(r"_Py_FatalError_TstateNULL"), function="rdi",
             fixed="the function must be called with the GIL held, but the GIL is released (no thread state)"),
    Reporter("Qt", re.compile(r"QMessageLogger::fatal\(.*"), text="rsi", arguments=("rdx", "rcx", "r8", "r9")),
)  # fmt: skip


def words(
    space: AddressSpace, frames: Sequence[Frame], start_of: Callable[[int], int | None], places: Places
) -> tuple[str, str] | None:
    """(runtime, its text) of the outermost such function on the stack whose arguments can be told."""
    for index in range(len(frames) - 2, -1, -1):
        frame = frames[index]
        if frame.inlined or not frame.function:
            continue
        reporter = next((item for item in REPORTERS if item.name.fullmatch(frame.function)), None)
        returns_to = frames[index + 1].pc
        if reporter is None or returns_to is None:
            continue
        known = constants_at_call(space, returns_to, start_of(returns_to - 1))
        if reporter.fixed:
            function = _string(space, known.get(reporter.function))
            return reporter.runtime, f"{function}: {reporter.fixed}" if function else reporter.fixed
        told = _told(space, reporter, known, places)
        if told is not None:
            return reporter.runtime, told
    return None


def _told(space: AddressSpace, reporter: Reporter, known: dict[str, int], places: Places) -> str | None:
    """As the run-time prints it: "file:line: function: Assertion 'expression' failed.", or the text."""
    file, function = _string(space, known.get(reporter.file)), _string(space, known.get(reporter.function))
    expression, text = _string(space, known.get(reporter.expression)), _string(space, known.get(reporter.text))
    line = known.get(reporter.line)
    place = f"{file}:{line & 0xFFFFFFFF}: " if file and line is not None and line & 0xFFFFFFFF < _MOST_LINES else ""
    if reporter.text:
        if not text:
            return None
        return place + (f"{function}: " if function else "") + _formatted(space, text, reporter, known, places)
    if not expression:
        return None
    return f"{place}{f'{function}: ' if function else ''}Assertion '{expression}' failed."


def _formatted(space: AddressSpace, text: str, reporter: Reporter, known: dict[str, int], places: Places) -> str:
    """The text that a printf format gave: with constant arguments, else as it lies in memory, else the format."""
    parts = _CONVERSION.split(text)
    conversions = _CONVERSION.findall(text)
    if not conversions:
        return text
    values: list[str] = []
    for conversion, register in zip(conversions, reporter.arguments, strict=False):
        value = known.get(register)
        told = _string(space, value) if conversion.endswith("s") else None
        if told is None and value is not None and conversion[-1] in "diu":
            told = str((value & 0xFFFFFFFF) - ((value & 0x80000000) << 1))
        if told is None:
            break
        values.append(told)
    if len(values) == len(conversions):
        return "".join(itertools.chain.from_iterable(itertools.zip_longest(parts, values, fillvalue="")))
    return _in_memory(parts, places) or text


def _in_memory(parts: Sequence[str], places: Places) -> str | None:
    """A text with these parts, on the crashing stack or in what that points at; 8 bits a character or 16."""
    if len(parts[0]) < _LEAST_PART:
        return None
    pattern = re.compile(r"[^\0\n]{0,400}?".join(re.escape(part) for part in parts))
    for encoding, end in (("utf-8", b"\0"), ("utf-16-le", b"\0\0")):
        needle = parts[0].encode(encoding)
        for raw in places.near():
            at = raw.find(needle)
            while at >= 0:
                tail = raw[at : at + 2048]
                stop = tail.find(end)
                while encoding != "utf-8" and stop % 2 and stop >= 0:
                    stop = tail.find(end, stop + 1)
                said = tail[: stop if stop >= 0 else None].decode(encoding, "replace")
                if pattern.match(said) and not said.startswith("".join(parts[:1]) + "%"):
                    return said.strip()
                at = raw.find(needle, at + 1)
    return None


def _string(space: AddressSpace, pointer: int | None) -> str | None:
    raw = space.cstring(pointer, 4096) if pointer else None
    if not raw:
        return None
    text = raw.decode("utf-8", "replace").strip()
    return text if text.isprintable() or "\n" in text else None
