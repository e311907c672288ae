"""Functions that are called with a failed check's text, and which of their arguments have it.

The arguments are literals, so the caller loads them just before the call (machines/x86_64/constants.py). Layouts: glibc
and musl assert/assert.c; newlib __assert_func; libstdc++ bits/c++config.h; Qt qglobal.h; GLib gtestutils.h; V8
src/base/logging.h, include/v8-internal.h; Abseil base/internal/raw_logging.h; Boost assert.hpp.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.machines.x86_64.constants import constants_at_call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace

_MOST_LINES = 1 << 24


class Reporter(NamedTuple):
    """name: of the function, without its arguments; the rest: registers with a string, `line` with a number."""

    runtime: str
    name: re.Pattern[str]
    file: str = ""
    line: str = ""
    function: str = ""
    expression: str = ""
    text: str = ""


REPORTERS = (
    Reporter("libstdc++", re.compile(r"std::__\w+_assert(_fail)?\b.*"), "rdi", "rsi", "rdx", "rcx"),
    Reporter("assert", re.compile(r"(__GI_)?__assert_fail"), "rsi", "rdx", "rcx", "rdi"),
    Reporter("assert", re.compile(r"__assert_func"), "rdi", "rsi", "rdx", "rcx"),
    Reporter("assert", re.compile(r"__assert"), "rsi", "rdx", "", "rdi"),
    Reporter("assert", re.compile(r"boost::assertion_failed(_msg)?\b.*"), "rdx", "rcx", "rsi", "rdi"),
    Reporter("Qt", re.compile(r"qt_assert(\(.*)?"), "rsi", "rdx", "", "rdi"),
    Reporter("Qt", re.compile(r"qt_assert_x(\(.*)?"), "rdx", "rcx", "rdi", "rsi"),
    Reporter("GLib", re.compile(r"g_assertion_message_expr"), "rsi", "rdx", "rcx", "r8"),
    Reporter("Abseil", re.compile(r"absl::.*raw_log_internal::RawLog\b.*"), "rsi", "rdx", "", "", "rcx"),
    Reporter("V8", re.compile(r"V8_Fatal\(char const\*, int, char const\*.*"), "rdi", "rsi", "", "", "rdx"),
    Reporter("V8", re.compile(r"V8_Fatal\(char const\*.*"), "", "", "", "rsi", "rdi"),
    Reporter("V8", re.compile(r"v8::internal::V8::FatalProcessOutOfMemory\(.*"), text="rsi"),
    Reporter("V8", re.compile(r"v8::internal::Heap::FatalProcessOutOfMemory\(.*"), text="rsi"),
    Reporter("V8", re.compile(r"v8::Utils::ReportApiFailure\(.*"), function="rdi", text="rsi"),
    Reporter("Qt", re.compile(r"(QMessageLogger::fatal|qFatal)\(.*"), text="rsi"),
)  # fmt: skip


def words(
    space: AddressSpace, frames: Sequence[Frame], start_of: Callable[[int], int | None]
) -> tuple[str, str] | None:
    """(runtime, its text) of the outermost such function on the stack whose arguments can be told."""
    for index in range(len(frames) - 2, -1, -1):
        frame = frames[index]
        if frame.inlined or not frame.function:
            continue
        for reporter in REPORTERS:
            if reporter.name.fullmatch(frame.function):
                returns_to = frames[index + 1].pc
                if returns_to is None:
                    break
                told = _told(space, reporter, constants_at_call(space, returns_to, start_of(returns_to - 1)))
                if told is not None:
                    return reporter.runtime, told
                break
    return None


def _told(space: AddressSpace, reporter: Reporter, known: dict[str, int]) -> str | None:
    """As the run-time prints it: "file:line: function: Assertion 'expression' failed.", or the text."""
    file, function = _string(space, known.get(reporter.file)), _string(space, known.get(reporter.function))
    expression, text = _string(space, known.get(reporter.expression)), _string(space, known.get(reporter.text))
    line = known.get(reporter.line)
    place = f"{file}:{line & 0xFFFFFFFF}: " if file and line is not None and line & 0xFFFFFFFF < _MOST_LINES else ""
    if reporter.text:
        if not text:
            return None
        said = text.replace("%s", expression, 1) if expression else text
        return place + (f"{function}: " if function else "") + said.strip()
    if not expression:
        return None
    return f"{place}{f'{function}: ' if function else ''}Assertion '{expression}' failed."


def _string(space: AddressSpace, pointer: int | None) -> str | None:
    raw = space.cstring(pointer, 4096) if pointer else None
    if not raw:
        return None
    text = raw.decode("utf-8", "replace").strip()
    return text if text.isprintable() or "\n" in text else None
