"""Bytes to lines: encodings, line ends, terminal colours."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SNIFF = 4096
_COLOURS = re.compile(
    r"\x1b\[[0-9;?]{0,32}[ -/]{0,4}[@-~]|\x1b\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|"
    r"(?:\^\[|\\u001[bB]|\\x1[bB]|\\033|\\e|#033)\[[0-9;]{0,32}m"
)
_INVISIBLE = str.maketrans(
    {"\xa0": " ", "\u200b": None, "\ufeff": None, "\u2028": "\n", "\u0085": "\n", "\0": None}
    | dict.fromkeys("\u201c\u201d\u201e", '"')
    | dict.fromkeys("\u2018\u2019", "'")
)
"""Blanks and quotation marks that word processors and chats put for plain ones."""


def encoding(data: bytes) -> tuple[str, int]:
    """The encoding of a text and the length of its mark. HotSpot states none; what is no UTF-16 is read as UTF-8."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name, len(mark)
    head = data[:_SNIFF]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > len(head) // 4 and odd > 8 * even:
        return "utf-16-le", 0
    if even > len(head) // 4 and even > 8 * odd:
        return "utf-16-be", 0
    return "utf-8", 0


def decoded(data: bytes) -> tuple[str, list[str]]:
    """The text with \\n as its line end, and what was changed for it, in words; other bytes become U+FFFD."""
    name, mark = encoding(data)
    text = data[mark:].decode(name, "replace")
    changes = [] if name == "utf-8" else [f"its encoding, {name.upper()}"]
    if "\r" in text:
        text = re.sub(r"\r{1,4}\n", "\n", text).replace("\r", "\n")
    if not text.isascii() or "\0" in text:
        text = text.translate(_INVISIBLE)
    if "[" in text and _COLOURS.search(text):
        text = _COLOURS.sub("", text)
        changes.append("terminal colours")
    return text, changes
