"""What an analysis reads of a core, by the function that asks: where a changed byte has an effect."""

from __future__ import annotations

import sys
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT = 4000
"""Places kept for one function: of a longer list every n-th is as good."""


class Trace:
    """(address, size in bytes) of reads, by module and function that made them; strings apart."""

    def __init__(self) -> None:
        self.words: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.strings: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def note(self, address: int, size: int, text: bool = False) -> None:
        """Remember a read for the nearest caller outside the reading layer."""
        frame: Any = sys._getframe(2)
        while frame.f_back is not None and frame.f_globals["__name__"].endswith((".memory", ".reading", ".trace")):
            frame = frame.f_back
        site = f"{frame.f_globals['__name__']}.{frame.f_code.co_name}"
        places = (self.strings if text else self.words)[site]
        if len(places) < _KEPT:
            places.append((address, size))


@contextmanager
def traced(space_class: Any) -> Iterator[Trace]:
    """Record the reads of all address spaces of the class while the block runs."""
    trace = Trace()
    kept = {name: space_class.__dict__[name] for name in ("read", "read_some", "word", "words", "cstring")}

    def read(self: Any, address: int, size: int) -> Any:
        trace.note(address, size)
        return kept["read"](self, address, size)

    def read_some(self: Any, address: int, size: int) -> Any:
        trace.note(address, size)
        return kept["read_some"](self, address, size)

    def word(self: Any, address: int) -> Any:
        trace.note(address, 8)
        return kept["word"](self, address)

    def words(self: Any, address: int, count: int) -> Any:
        trace.note(address, 8 * count)
        return kept["words"](self, address, count)

    def cstring(self: Any, address: int, limit: int = 4096) -> Any:
        trace.note(address, 8, text=True)
        return kept["cstring"](self, address, limit)

    replaced = {"read": read, "read_some": read_some, "word": word, "words": words, "cstring": cstring}
    for name, function in replaced.items():
        setattr(space_class, name, function)
    try:
        yield trace
    finally:
        for name, function in kept.items():
            setattr(space_class, name, function)
