"""A JVM's fatal error log as a report of its own, or added to the report of the core it lies beside."""
from __future__ import annotations

from postmortem.hslog.beside import find, load
from postmortem.hslog.merge import merged
from postmortem.hslog.report import from_log

__all__ = ["find", "from_log", "load", "merged"]
