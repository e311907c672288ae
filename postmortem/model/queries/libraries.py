"""Native libraries of a process that are neither the system's nor a runtime's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.queries.culprit import skipped_module
from postmortem.model.queries.files import file_name
from postmortem.model.queries.patterns import Lazy

if TYPE_CHECKING:
    from postmortem.model import Report

_OF_PYTHON = Lazy(r".*/lib-dynload/.*|(?:.*/)?libpython[\d.]+[^/]*\.so[\d.]*")
_OF_SYSTEM = Lazy(r"(?:/usr)?/lib(?:32|64)?/(?:[\w-]+/)?lib[^/]+")
_MOST = 4


def extensions(report: Report) -> tuple[str, ...]:
    """C extensions of a Python process that are not CPython's: the names of their files, a few of them."""
    found = (
        file_name(module.path)
        for module in report.modules
        if ".so" in module.path
        and not _OF_PYTHON.fullmatch(module.path)
        and not _OF_SYSTEM.fullmatch(module.path)
        and not skipped_module(module.path)
    )
    return tuple(dict.fromkeys(found))[:_MOST]
