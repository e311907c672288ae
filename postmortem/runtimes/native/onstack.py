"""Last words that are not in a variable: arguments and text that their runtime left on the crashing stack, and GLib's.

libstdc++: __glibcxx_assert_fail (older: __replacement_assert) calls printf("%s:%d: %s: Assertion '%s' failed.\\n"); the
register save area of printf holds file, line, function and expression side by side.
tcmalloc (debug): RAW_LOG formats into a buffer of LogPrintf and aborts there.
GLib: __glib_assert_msg points at the text of g_assert(), after "**\\n".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace

_ASSERT = ("std::__glibcxx_assert_fail", "std::__replacement_assert")
_BELOW, _LONGEST_FRAME = 512, 1 << 14
"""Bytes below the innermost frame, where calls that have returned left their arguments; bytes to look through."""
_MOST_LINES = LIMITS.onstack_lines
_PRINTABLE = re.compile(rb"[\x20-\x7e\n\t]{24,}")


def words(
    space: AddressSpace, symbol: Callable[[str], int | None], frames: Sequence[Frame]
) -> tuple[str | None, str | None]:
    """(runtime, its text) for the runtimes of this module; (None, None) when none of them is on the stack."""
    for index, frame in enumerate(frames):
        name = frame.function or ""
        if name.startswith(_ASSERT):
            return "libstdc++", _assertion(space, frames, index)
        if name.startswith("g_assertion_message"):
            variable = symbol("__glib_assert_msg")
            pointer = space.word(variable) if variable is not None else None
            return "GLib", _string(space, pointer)
        if name.startswith("RAW_LOG(") and "tcmalloc" in (frame.module or ""):
            return "tcmalloc", _formatted(space, frames, index)
    return None, None


def _assertion(space: AddressSpace, frames: Sequence[Frame], index: int) -> str | None:
    """ "file:line: function: Assertion 'expression' failed." """
    first, last = frames[0].sp, frames[min(index + 1, len(frames) - 1)].sp
    if first is None or last is None:
        return None
    start = (first & ~7) - _BELOW
    stack = space.words(start, min(max(last - start, 0), _LONGEST_FRAME) // 8) or ()
    for at in range(len(stack) - 3):
        line = stack[at + 1] & 0xFFFFFFFF
        if not 0 < line < _MOST_LINES:
            continue
        file, function, expression = (_string(space, stack[at + step]) for step in (0, 2, 3))
        if file and function and expression and re.fullmatch(r"[\w/.+~@ -]+", file):
            return f"{file}:{line}: {function}: Assertion '{expression}' failed."
    return None


def _formatted(space: AddressSpace, frames: Sequence[Frame], index: int) -> str | None:
    """The longest text in the frames that RAW_LOG called."""
    first, last = frames[0].sp, frames[min(index + 1, len(frames) - 1)].sp
    if first is None or last is None:
        return None
    raw = space.read_some(first, min(max(last - first, 0), _LONGEST_FRAME))
    text = max((match[0] for match in _PRINTABLE.finditer(raw)), key=len, default=b"")
    return text.decode("ascii").strip() or None


def _string(space: AddressSpace, pointer: int | None) -> str | None:
    raw = space.cstring(pointer, 4096) if pointer else None
    if not raw:
        return None
    text = raw.decode("utf-8", "replace")
    return text.strip() if text.isprintable() or "\n" in text else None
