"""A JVM's fatal error log as a report of its own, or added to the report of the core it lies beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postmortem.hs_err.beside import find, load, with_log
    from postmortem.hs_err.merge import merged
    from postmortem.hs_err.report import from_log

__all__ = ["find", "from_log", "load", "merged", "with_log"]

_HOMES = {"find": "beside", "load": "beside", "with_log": "beside", "merged": "merge", "from_log": "report"}


def __getattr__(name: str) -> Any:
    # The parser of logs takes a third of the time that a whole report of a core does to import: on first use.
    if name not in _HOMES:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
