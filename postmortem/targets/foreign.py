"""Inputs that no report can be made of, by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.foreign import identify
from postmortem.errors import AnalysisError

if TYPE_CHECKING:
    from postmortem.targets.target import Target


def refuse_foreign(target: Target) -> None:
    """Raises AnalysisError for what is neither a Linux core nor a HotSpot log: what it is, and what to give instead."""
    kind = identify(target.content)
    if kind is not None:
        what = f"{target.path}: is {kind.what}, not a core of Linux and not a log of HotSpot"
        raise AnalysisError(what, kind.instead)
