"""From scattered facts to one frozen object."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MAX_ITEMS = LIMITS.reader_items

HEX = r"0x[0-9a-fA-F]{1,16}"
_UNITS = {"": 1, "B": 1, "BYTES": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"([<>]?)(\d{1,20}(?:\.\d{1,6})?) ?([bB]ytes\b|[kKMGT]?[bB]?\b)")


def address(text: str) -> int:
    """An address with or without 0x."""
    return int(text, 16)


def size(text: str) -> int | None:
    """Bytes of "240K", "12.35 MB", "65536", "7473M"; None if it is no size."""
    found = _SIZE.match(text.strip())
    return sized(found[2], found[3]) if found else None


def sized(number: str, unit: str) -> int:
    """Bytes of a number as HotSpot prints it and its unit, of which only the first letter counts."""
    factor = _UNITS.get(unit.upper() if unit.upper() in _UNITS else unit[:1].upper(), 1)
    return int(number) * factor if number.isdecimal() else round(float(number) * factor)


class Draft(Generic[T]):
    """A frozen object being collected. The first value of a field stays; lists are bounded."""

    def __init__(self, kind: Callable[..., T], bound: int = MAX_ITEMS) -> None:
        self._kind = kind
        self._names = frozenset(kind.__struct_fields__)  # type: ignore[attr-defined]
        self._bound = bound
        self.values: dict[str, Any] = {}
        self.cut: set[str] = set()

    def put(self, **values: Any) -> bool:
        """Set the fields that have no value yet."""
        for name, value in values.items():
            if name not in self._names:
                raise AttributeError(name)
            if value is not None:
                self.values.setdefault(name, value)
        return True

    def add(self, name: str, *items: Any) -> bool:
        """Append to a list; False when its bound is reached."""
        if name not in self._names:
            raise AttributeError(name)
        into = self.values.setdefault(name, [])
        if len(into) + len(items) > self._bound:
            self.cut.add(name)
            return False
        into.extend(items)
        return True

    def last(self, name: str) -> Any:
        """The last item of a list, or None."""
        into = self.values.get(name)
        return into[-1] if into else None

    def make(self) -> T:
        """The frozen object."""
        return self._kind(
            **{
                k: tuple(_frozen(v) for v in value) if isinstance(value, list) else _frozen(value)
                for k, value in self.values.items()
            }
        )


def _frozen(value: Any) -> Any:
    return value.make() if isinstance(value, Draft) else value


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern that a line must match from its start, and what makes the fact of it (False: after all,
    none)."""

    pattern: re.Pattern[str]
    take: Callable[[re.Match[str]], bool]


def rule(pattern: str, take: Callable[[re.Match[str]], bool]) -> Rule:
    """A rule of its pattern's text."""
    return Rule(re.compile(pattern), take)


def first(rules: tuple[Rule, ...], text: str) -> bool:
    """Let the first rule that matches have the line."""
    for r in rules:
        found = r.pattern.match(text)
        if found and r.take(found):
            return True
    return False


class Section:
    """Reader of one group of sections.

    headings: pattern of the heading → name of the section. `open` has the heading line, `feed` a line below
    it, `any` a line that its own section could not use (extracts of logs lack headings). Each says whether a
    fact came of it.
    """

    headings: tuple[tuple[str, str], ...] = ()

    def open(self, name: str, text: str) -> bool:
        """The heading itself; true unless it should have had a fact and had none."""
        return bool(name and text)

    def feed(self, name: str, text: str) -> bool:
        """A non-blank line under the heading."""
        raise NotImplementedError

    def any(self, text: str) -> bool:
        """A line found outside of its section."""
        return False

    def inside(self, name: str) -> bool:
        """Whether the dump of a code blob that follows belongs to an entry of this section."""
        return False

    def blank(self) -> None:
        """An empty line went by."""

    def cut(self) -> set[str]:
        """Names of the lists that reached their bound."""
        return set()
