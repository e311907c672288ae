"""What runs into one folder found that nobody was told of: a run that was killed leaves its news to the next.

Each run has a file .run-ID in its output folder, locked as long as the run lives and removed when its outcome was
written and told. One that nobody holds is of a run that did not come so far.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from postmortem.triage.scratch import locked

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = ".run-"
_ID = 32
"""Characters of uuid4().hex, as runs are called in the store."""


class News:
    """Of a run that begins now. runs: its own id, and those whose outcome nobody was told."""

    def __init__(self, output: Path, run: str) -> None:
        self._held: list[tuple[Path, int]] = []
        self.runs = [run]
        for left in sorted(output.glob(f"{_PREFIX}{'[0-9a-f]' * _ID}")):
            held = locked(left, os.O_RDONLY)
            if held is not None:
                self._held.append((left, held))
                self.runs.append(left.name.removeprefix(_PREFIX))
        own = output / f"{_PREFIX}{run}"
        held = locked(own, os.O_RDONLY | os.O_CREAT)
        if held is not None:
            self._held.append((own, held))

    def told(self) -> None:
        """Everything was written and said."""
        for path, held in self._held:
            path.unlink(missing_ok=True)
            os.close(held)
        self._held.clear()
