"""Files of the output folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def put(target: Path, content: bytes) -> None:
    """Write a file, for ourselves to read, that is there whole or not at all. Raises OSError."""
    scratch = target.with_name(f".{target.name}-{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
    scratch.replace(target)
