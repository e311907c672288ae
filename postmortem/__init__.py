"""Core dump and crash post-mortem analyzer.

The door for other programs: `analyze` with `Options` gives a `Report`; a `Rule` yields `Finding`s whose evidence
`proof` quotes from the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postmortem.model import Finding, Report
    from postmortem.model.queries.paths import proof
    from postmortem.pipeline import Options, analyze
    from postmortem.rules.rule import Rule

__version__ = "0.1.0"
__all__ = ["Finding", "Options", "Report", "Rule", "__version__", "analyze", "proof"]

_HOMES = {
    "Finding": "postmortem.model",
    "Report": "postmortem.model",
    "Options": "postmortem.pipeline",
    "analyze": "postmortem.pipeline",
    "proof": "postmortem.model.queries.paths",
    "Rule": "postmortem.rules.rule",
}


def __getattr__(name: str) -> Any:
    # Import on first use: `--help` and `--version` must not pay for the analysis.
    if name not in _HOMES:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
