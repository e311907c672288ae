"""The limit on a process' address space (RLIMIT_AS, ulimit -v): whether it is reached, so that malloc gives NULL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views

if TYPE_CHECKING:
    from postmortem.model import Report

_NEAR = 0.97
_LIMIT = re.compile(r"(\d{1,15})(k?)(?:/.*)?")
REMEDY = (
    "Check what malloc, calloc and mmap return before it is used, and look for what is allocated and never freed; raise"
    " ulimit -v if all of it is needed."
)


class Reached(NamedTuple):
    """allowed, mapped: bytes."""

    allowed: int
    mapped: int

    @property
    def sentence(self) -> str:
        return (
            f"The process has {views.size_text(self.mapped)} mapped of the {views.size_text(self.allowed)} that its"
            " address space may have (ulimit -v): malloc and mmap may well have returned this NULL."
        )


def reached(report: Report) -> Reached | None:
    """The limit, where nearly all of it is mapped; None also where it is not known, as of a core without a log."""
    text = report.host.limits.get("AS", "") if report.host is not None else ""
    match = _LIMIT.fullmatch(text)
    if match is None:
        return None
    allowed = int(match[1]) << (10 if match[2] else 0)
    mapped = sum(mapping.end - mapping.start for mapping in report.mappings)
    return Reached(allowed, mapped) if allowed and mapped >= _NEAR * allowed else None


def null(report: Report) -> Reached | None:
    """As `reached`, for a fault behind a null pointer."""
    address = views.fault_address(report)
    return reached(report) if address is not None and address < views.FIRST_PAGE else None
