"""Nothing that users read changes unseen."""

from __future__ import annotations

import difflib

import pytest

from tests.snapshots.words import FOLDER, MADE


@pytest.mark.parametrize("name", MADE)
def test_the_words_are_those_kept(name: str) -> None:
    kept, made = (FOLDER / name).read_text(encoding="utf-8"), MADE[name]()
    difference = "\n".join(difflib.unified_diff(kept.splitlines(), made.splitlines(), name, "now", lineterm="", n=1))
    assert kept == made, f"{difference}\nMeant so? `python -m tests.snapshots` writes it anew."


def test_every_file_is_made() -> None:
    files = {path.name for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".py"}
    assert files == set(MADE)
