"""The error that means: no report is possible. `hint` tells what to try."""

from __future__ import annotations


class AnalysisError(Exception):
    """No report is possible. One line why; `hint` one line on what to try."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint
