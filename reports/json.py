"""The report as JSON: the model's own form. Lone surrogates, which UTF-8 can't hold, are written as codes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import to_json
from postmortem.model.strings import map_strings

if TYPE_CHECKING:
    from postmortem.model import Report

_SURROGATE = re.compile("[\\ud800-\\udfff]")


def render(report: Report) -> str:
    """The report as one line of JSON."""
    try:
        return to_json(report).decode()
    except UnicodeEncodeError:
        return to_json(map_strings(report, _encodable)).decode()


def _encodable(owner: str, field: str, text: str) -> str:
    return _SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
