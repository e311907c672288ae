"""Problems and timings of a run, as they come up."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from postmortem.model import Problem


class Stages:
    """problems: in the order in which they came up. timings: seconds by name of a stage, added up."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self.problems = [*problems]
        self.timings: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one that is entered again goes on counting."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = self.timings.get(name, 0.0) + time.perf_counter() - start
            self.timings[name] = round(spent, 4)
