"""Lines that a terminal or a mail program broke, joined again where the line itself shows that it is not whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from parsers.hs_err.text.order import Row

_OPEN = re.compile(
    r"#?[ \t]*(?:JRE version|Java VM): |Current thread \(0x|siginfo: ?si_signo|#?[ \t]*[VC]  ?\S|Stack: ?\[|"
    r"#?[ \t]*(?:SIG[A-Z]{2,6}|EXCEPTION_\w{3,40}|Internal Error|Out of Memory Error) \(|"
    r"(?:=>| {0,2})0x[0-9a-f]{8,16} (?:JavaThread|[A-Z]\w{0,40}Thread) \""
)
"""Lines that go on with a parenthesis or a list."""
_COMPILED = re.compile(r"#?[ \t]*J[ \t]{1,2}\d{1,9}%?[ \t]{1,2}(?:[cC][12]|jvmci|JVMCI)(?:[ \t]|$)")
_WHOLE = re.compile(r"@ 0x[0-9a-fA-F]{1,16} \[0x[0-9a-fA-F]{1,16}\+0x[0-9a-fA-F]{1,16}\]\s*$")
"""How a compiled frame's line ends; its signature has brackets that are not closed."""
_INTERPRETED = re.compile(r"#?[ \t]*j[ \t]{1,2}[^\s(]{1,4096}\(")
_BCI = re.compile(r"\+-?\d{1,9}(?:\s+\S{1,200})?\s*$")
_MAPPING = re.compile(r"[0-9a-f]{4,16}-[0-9a-f]{4,16} [-rwxps]{4} [0-9a-f]{8,16} [0-9a-f:]{4,8} \d{1,20}(?=\s|$)")
_BEGINS = re.compile(
    r"\s*(?:#|---|[VCvJjAM][ \t]{1,2}\S|siginfo:|Registers:|Java frames|Native frames|Current |Stack: ?\[|=>0x|"
    r"[A-Z][A-Z0-9]{1,5} ?=0x|[0-9a-f]{6,16}-[0-9a-f]{6,16} |0x[0-9a-f]{8,16} \w{0,40}Thread|Event: )"
)
"""What begins a line of its own."""
_NUMBER = re.compile(r"0x[0-9a-fA-F]{0,16}$|\b\d{1,20}$")
"""A number of which digits may be lost."""
_MOST = LIMITS.wrapped_pieces
_LONGEST = LIMITS.wrapped_line
_FEWEST = 3
_NARROWEST, _WIDEST = 40, 250


def joined(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """The rows with those that go on in the next joined, the last word of those that were cut left out; in words."""
    width = _width(rows)
    made, broken = _joined(rows, width)
    words = [f"{broken} line breaks"] if broken else []
    if width and any(len(text) == width and _broken(text, text, 0) for _, text in made):
        made = [(number, _NUMBER.sub("", text) if len(text) == width else text) for number, text in made]
        words.append(f"lines cut at column {width}: what stood behind it is lost")
    return made, words


def _joined(rows: list[Row], width: int) -> tuple[list[Row], int]:
    made: list[Row] = []
    at = 0
    while at < len(rows):
        number, text = rows[at]
        last = text
        at += 1
        for _, more in rows[at : at + _MOST]:
            if (
                not more.strip()
                or _BEGINS.match(more)
                or not ((more.lstrip()[0] == "(" and _OPEN.match(text)) or _broken(text, last, width))
            ):
                break
            # Cut at a column, the line lost nothing; at a blank, only the blank.
            whole = len(last) == width or last.endswith("-")
            text = f"{text}{more.rstrip()}" if whole else f"{text.rstrip()} {more.strip()}"
            last = more
            at += 1
        made.append((number, text))
    return made, len(rows) - len(made)


def _width(rows: list[Row]) -> int:
    """The column at which lines were cut, 0 if none is known: no line is longer and several are as long."""
    lengths = [len(text) for _, text in rows]
    longest = max(lengths, default=0)
    return longest if _NARROWEST <= longest <= _WIDEST and lengths.count(longest) >= _FEWEST else 0


def _broken(text: str, last: str, width: int) -> bool:
    """Whether a line, of which `last` is the newest piece, shows that more of it must follow."""
    if len(text) > _LONGEST:
        return False
    if _COMPILED.match(text):
        return _WHOLE.search(text) is None
    if _INTERPRETED.match(text):
        return _BCI.search(text) is None
    mapping = _MAPPING.match(text)
    if mapping:
        return len(last) == width
    if _OPEN.match(text):
        return _unclosed(text) or len(last) == width
    return False


def _unclosed(text: str) -> bool:
    return text.count("(") > text.count(")") or text.count("[") > text.count("]") or text.rstrip().endswith((",", ":"))
