"""Write the snapshots anew."""

from __future__ import annotations

from tests.snapshots.words import FOLDER, MADE

for name, made in MADE.items():
    (FOLDER / name).write_text(made(), encoding="utf-8")
