"""What a rule is.

A rule is a pure function of the report: if it needs a fact, a stage supplies it and every report shows
it. So a rule runs on a stored report as well as on a fresh one. The module docstring of a rule's file is
its documentation, under fixed headings (see `postmortem rules ID`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from postmortem.model import Finding, Report

Group = Literal["fault", "process", "jvm"]
Check = Callable[[Report], Iterator[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """id: the contract's name. specificity: 0 to 100, orders findings for the verdict (docs/rules.md has the scale)."""

    id: str
    group: Group
    specificity: int
    check: Check
    documentation: str
