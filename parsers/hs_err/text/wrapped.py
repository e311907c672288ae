"""Lines of a head that a terminal or a mail program broke, joined again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parsers.hs_err.text.order import Row

_BROKEN = re.compile(r"#?[ \t]*(?:JRE version|Java VM): |Current thread \(0x|siginfo: ?si_signo")
_MOST = 4
_LONGEST = 1000


def joined(rows: list[Row]) -> tuple[list[Row], int]:
    """The rows, and how many were joined to the one before: those that go on with a parenthesis or a list."""
    made: list[Row] = []
    count = more = 0
    for number, text in rows:
        if more and text.strip() and not text.startswith("#") and (_open(made[-1][1]) or text.lstrip()[0] == "("):
            made[-1] = (made[-1][0], f"{made[-1][1].rstrip()} {text.strip()}")
            count, more = count + 1, more - 1
            continue
        made.append((number, text))
        more = _MOST if _BROKEN.match(text) else 0
    return made, count


def _open(text: str) -> bool:
    if len(text) > _LONGEST:
        return False
    return text.count("(") > text.count(")") or text.count("[") > text.count("]") or text.rstrip().endswith(",")
