"""Texts that are kept as they are, under tests/snapshots, and compared.

POSTMORTEM_RENEW_SNAPSHOTS=1 writes them anew instead; what changed is then read in the diff before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"
RENEW = "POSTMORTEM_RENEW_SNAPSHOTS"


def compare(name: str, text: str) -> None:
    """Fail unless the file `name` under tests/snapshots holds `text`."""
    path = FOLDER / name
    if os.environ.get(RENEW):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    assert path.exists(), f"{path} is missing: {RENEW}=1 writes it"
    assert text.splitlines() == path.read_text(encoding="utf-8").splitlines(), f"{RENEW}=1 writes {path} anew"
