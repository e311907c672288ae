"""No crafted input takes more than its share of time and memory, and each ends with a report or a refusal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import postmortem
from tests.hostile.campaign import exercise, refusals, render_stored
from tests.hostile.child import Outcome, forked
from tests.hostile.crafted import CRAFTED, Input

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = 40
"""CPU seconds at which the child is ended. What is aimed at is 10, on a machine of its own: see campaign.py."""
KILOBYTES = 600_000
"""Resident memory with that of this process, of which a child of fork begins with a copy."""


def run(made: Input, seconds: int = SECONDS) -> Outcome:
    """The outcome of an input in a child."""
    if made.kind == "stored":
        return forked(lambda: render_stored(made.path.read_bytes()), refusals(), seconds, 6000)
    options = postmortem.Options(**{"strict": True, "sysroot": made.path.parent, **made.options})
    return forked(lambda: exercise(made.path, options), refusals(), seconds, 6000)


@pytest.mark.corpus
@pytest.mark.parametrize("make", CRAFTED, ids=lambda make: make.__name__)
def test_a_crafted_input(make: Callable[[Path], Input], tmp_path: Path) -> None:
    made = make(tmp_path)
    outcome = run(made)
    assert outcome.status == ("refused" if made.refused else outcome.status)
    assert outcome.status in ("report", "partial", "refused"), outcome
    assert outcome.status != "refused" or made.refused is not False, outcome
    assert outcome.kilobytes < KILOBYTES, outcome
    assert os.listdir(tmp_path)  # noqa: PTH208
