"""Arguments that a text shows as a list: ["mysql","-p","S"], ['--password', 'S'], {0x55… "-p", 0x55… "S", 0x0}."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.queries.patterns import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_POINTER = r"(?:0x[0-9a-fA-F]{1,16} (?:<[^<>]{0,200}> )?)?"
_PREFIX = r"[bBuUrLRf]?"
# An element in quotes, which may have backslashes before them where a string holds the list.
_ELEMENT = (
    rf"{_POINTER}{_PREFIX}(?:\"(?:[^\"\\]|\\.){{0,2048}}+\"|'(?:[^'\\]|\\.){{0,2048}}+'"
    r"|\\{1,3}\"[^\"\\]{0,2048}+\\{1,3}\"|\\{1,3}'[^'\\]{0,2048}+\\{1,3}')"
)
_RUN = Lazy(
    rf"{_ELEMENT}(?:\s{{0,3}},\s{{0,3}}{_ELEMENT}){{1,255}}+(?:\s{{0,3}},\s{{0,3}}(?P<cut>{_POINTER}\\{{0,3}}[\"'][^\"'\\]{{1,2048}}+$))?"
)
_ONE = Lazy(
    rf"{_POINTER}{_PREFIX}(?P<quote>\\{{0,3}}[\"'])(?P<value>(?:[^\"'\\]|\\.|(?!(?P=quote))[\"'])*?)(?:(?P=quote)|$)"
)
HINTS = ('"-', "'-", '"auth"', "'auth'")
"""What a list of arguments has, but for one of a known program's, in lower case."""
_OPTION = Lazy(r"[\"']-{1,2}[A-Za-z][\w-]*\\{0,3}[\"'](?:,|\s?[\])}])")
_SHOWS = Lazy(r"[\"']\s{0,3},\s{0,3}(?:0x[0-9a-fA-F]{1,16} )?(?:<[^<>]{0,200}> )?[bBuUrLRf]?\\{0,3}[\"']")


def mask_lists(text: str, mask: Callable[[Sequence[str]], Sequence[str]]) -> tuple[str, bool]:
    """The text with each list of quoted elements masked by `mask`, as a command line is; whether one has options."""
    if _SHOWS.search(text) is None:
        return text, False
    return _RUN.sub(lambda match: _masked(match.group(), mask), text), _OPTION.search(text) is not None


def _masked(run: str, mask: Callable[[Sequence[str]], Sequence[str]]) -> str:
    elements = list(_ONE.finditer(run))
    values = [element["value"].partition("\\0")[0] for element in elements]
    made = mask(values)
    pieces, done = [], 0
    for element, before, after in zip(elements, values, made, strict=True):
        if before == after:
            continue
        pieces += [run[done : element.start("value")], after]
        done = element.end("value")
    return "".join((*pieces, run[done:]))
