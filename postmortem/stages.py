"""Stages of a run: their problems and timings as they come up, and those that are left out."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from postmortem.model import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.options import Options

_Made = TypeVar("_Made")
_Other = TypeVar("_Other")


class Stages:
    """problems: in the order in which they came up. timings: seconds by name of a stage, added up.

    options.on_stage is told each stage as it begins; options.without names those to leave out, with the reason.
    """

    def __init__(self, options: Options) -> None:
        self.problems: list[Problem] = []
        self.timings: dict[str, float] = {}
        self._told = options.on_stage
        self._without = options.without

    def begin(self, name: str) -> None:
        """A stage begins whose time is that of the run."""
        if self._told is not None:
            self._told(name)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one that is entered again goes on counting."""
        self.begin(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = self.timings.get(name, 0.0) + time.perf_counter() - start
            self.timings[name] = round(spent, 4)

    def run(self, name: str, make: Callable[[], _Made], otherwise: _Other) -> _Made | _Other:
        """What `make` gives, or `otherwise` when the stage is left out."""
        if self.lacks(name):
            return otherwise
        with self.stage(name):
            return make()

    def lacks(self, name: str) -> bool:
        """Whether a stage is left out."""
        return name in self._without

    def left_out(self, path: str) -> Iterator[Problem]:
        """The stages that are left out, as problems of the input at `path`."""
        for stage, why in self._without.items():
            yield Problem(
                stage=stage, where=path, what=f"the stage {stage} is left out: {why}",
                hint="what it would have found is missing; please report the input as a fault of postmortem",
            )  # fmt: skip
