"""Text from a crash made safe to read: what is invisible or misleading in it becomes visible codes."""

from __future__ import annotations

import re

# Control characters, soft hyphen, bidirectional controls, zero-width characters, line and paragraph
# separators, lone surrogates, interlinear marks, tags and the noncharacters of the basic plane: they hide,
# reorder or break what a reader sees. Written as codes so that this file itself can't be misread.
_UNSEEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b-\\u200f\\u2028-\\u202e"
    "\\u2060-\\u206f\\u3164\\ud800-\\udfff\\ufe00-\\ufe0f\\ufdd0-\\ufdef\\ufeff\\ufff0-\\ufffb\\ufffe\\uffff"
    "\\U000e0000-\\U000e0fff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
LONGEST = 2000
"""Characters of one value that a report shows."""


def _code(match: re.Match[str]) -> str:
    char = match.group()
    number = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def visible(text: str, longest: int = LONGEST) -> str:
    """The text on one line with unseen characters as \\xNN, \\uNNNN or \\UNNNNNNNN, cut with a note."""
    rest = len(text) - longest
    if rest > 0:
        text = text[:longest]
    shown = text if text.isascii() and text.isprintable() else _UNSEEN.sub(_code, text)
    return f"{shown}… ({rest} more characters)" if rest > 0 else shown


def visible_lines(text: str, lines: int = 60) -> str:
    """As `visible`, keeping line breaks; at most `lines` of them."""
    rows = text.expandtabs(8).splitlines()
    shown = [visible(row) for row in rows[:lines]]
    if len(rows) > lines:
        shown.append(f"… ({len(rows) - lines} more lines)")
    return "\n".join(shown)


def size(count: int | None) -> str:
    """Bytes in words: "1.5 GiB"."""
    # Not at the top: the command line needs `visible` alone, in a process that has not loaded the model.
    from postmortem.model.queries.crash import size_text

    return "unknown" if count is None else size_text(count)


def number(count: int) -> str:
    """A count with thin groups: "29,000"."""
    return f"{count:,}"


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 thread", "2 threads"."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def seconds(value: float) -> str:
    """A duration: "1.25 s", "12 ms"."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def base_name(path: str) -> str:
    """The last part of a path, without the kernel's " (deleted)"."""
    from postmortem.model.queries.files import file_name

    return file_name(path.rstrip("/")) or path
