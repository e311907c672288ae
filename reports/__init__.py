"""Meaning → words: a Report as HTML, JSON, Markdown or text. Knows the model and nothing else of ours.

Each format is imported when first used: a run pays for the one that it writes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postmortem.model import Report


def _format(module: str) -> Callable[[Report], str]:
    def render(report: Report) -> str:
        made = importlib.import_module(f"reports.{module}").render(report)
        assert isinstance(made, str)
        return made

    render.__doc__ = f"The report as {module}."
    return render


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "html": _format("html.page"),
    "json": _format("json"),
    "markdown": _format("markdown"),
    "text": _format("terminal"),
}

__all__ = ["FORMATS"]
