"""Meaning → words: a Report as HTML, JSON, Markdown or text. Knows the model and nothing else of ours.

Each format is imported when first used: a run pays for the one that it writes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postmortem.model import Report


_MODULES = {"html": "html.page", "json": "json", "markdown": "markdown", "text": "terminal"}


def _format(module: str) -> Callable[[Report], str]:
    def render(report: Report) -> str:
        made = importlib.import_module(f"reports.{module}").render(report)
        assert isinstance(made, str)
        return made

    render.__doc__ = f"The report as {module}."
    return render


FORMATS: Mapping[str, Callable[[Report], str]] = {form: _format(module) for form, module in _MODULES.items()}


def load(form: str) -> None:
    """Import a format now, where it can't be when it is used, and let it compile what it keeps."""
    module = importlib.import_module(f"reports.{_MODULES[form]}")
    if hasattr(module, "prepare"):
        module.prepare()


__all__ = ["FORMATS", "load"]
