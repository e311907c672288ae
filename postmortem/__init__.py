"""Core dump and crash post-mortem analyzer. The door for other programs: `analyze` and `Report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postmortem.model import Report
    from postmortem.pipeline import Options, analyze

__version__ = "0.1.0"
__all__ = ["Options", "Report", "__version__", "analyze"]


def __getattr__(name: str) -> Any:
    # Import on first use: `--help` and `--version` must not pay for the analysis.
    if name in ("Options", "analyze"):
        from postmortem import pipeline

        return getattr(pipeline, name)
    if name == "Report":
        from postmortem.model import Report

        return Report
    raise AttributeError(name)
