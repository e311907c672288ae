"""Regular expressions of which a report needs few: each is compiled when it may fit, for compiling takes its time."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LITERAL = re.compile(r"(?:[\w:/ ~-]|\\[^\w\s])*")


class Lazy:
    """An expression with the methods of a compiled one, which is compiled when the first of them is called."""

    sub: Callable[..., str]
    search: Callable[..., re.Match[str] | None]
    match: Callable[..., re.Match[str] | None]
    fullmatch: Callable[..., re.Match[str] | None]
    findall: Callable[..., list[Any]]
    finditer: Callable[..., Iterator[re.Match[str]]]

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern = pattern
        self.flags = flags

    def __getattr__(self, name: str) -> Any:
        # Asked for what is not there yet.
        compiled = re.compile(self.pattern, self.flags)
        for method in Lazy.__annotations__:
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


class Patterns:
    """The expressions of a list. Compiling all of one costs milliseconds, comparing how they begin microseconds."""

    def __init__(self, lines: list[str]) -> None:
        begun: list[tuple[str, str]] = []
        open_ended: list[str] = []
        for line in lines:
            begin = beginning(line)
            if begin:
                begun.append((begin, line))
            else:
                open_ended.append(line)
        self._begun = tuple(begun)
        self._open_ended = "|".join(f"(?:{line})" for line in open_ended)

    def fullmatch(self, text: str) -> bool:
        """Whether one of the expressions fits all of the text."""
        return any(pattern.fullmatch(text) is not None for pattern in self._candidates(text))

    def match(self, text: str) -> bool:
        """Whether one of the expressions fits how the text begins."""
        return any(pattern.match(text) is not None for pattern in self._candidates(text))

    def _candidates(self, text: str) -> list[re.Pattern[str]]:
        found = [_compiled(line) for begin, line in self._begun if text.startswith(begin)]
        if self._open_ended:
            found.append(_compiled(self._open_ended))
        return found


def beginning(line: str) -> str:
    """The text with which all that an expression fits begins, as far as it is written literally."""
    if _has_alternatives(line):
        return ""
    found = _LITERAL.match(line)
    literal = "" if found is None else found[0]
    if line[len(literal) : len(literal) + 1] in ("?", "*", "{"):
        literal = re.sub(r"\\?.$", "", literal)
    return re.sub(r"\\(.)", r"\1", literal)


def _has_alternatives(line: str) -> bool:
    """A bar outside of parentheses."""
    depth = 0
    for piece in re.findall(r"\\.|\[[^]]*\]|.", line):
        depth += (piece == "(") - (piece == ")")
        if piece == "|" and depth == 0:
            return True
    return False


@functools.cache
def _compiled(line: str) -> re.Pattern[str]:
    return re.compile(line)


def entries(package: str, name: str) -> list[str]:
    """The lines of a file in the folder lists/ of a package, without blank ones and remarks."""
    text = resources.files(package).joinpath("lists", name).read_text(encoding="utf-8")
    return [line for line in map(str.rstrip, text.splitlines()) if line.strip() and not line.startswith("#")]


@functools.cache
def listed(package: str, name: str) -> Patterns:
    """The expressions of a file in the folder lists/ of a package."""
    return Patterns([line.strip() for line in entries(package, name)])
