"""Inputs that no report can be made of, by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from parsers.foreign import identify
from postmortem.errors import AnalysisError

if TYPE_CHECKING:
    from parsers.foreign.kind import Foreign
    from postmortem.targets.target import Target


def foreign(target: Target) -> Foreign | None:
    """The kind of a file that is neither a Linux core nor a HotSpot log, None where it may be one."""
    return identify(target.content)


def refuse(target: Target, kind: Foreign) -> NoReturn:
    """Raises AnalysisError: what the file is, and what to give instead."""
    raise AnalysisError(f"{target.path}: is {kind.what}, not a core of Linux and not a log of HotSpot", kind.instead)
