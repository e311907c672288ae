"""When a core was written, as far as its file tells."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from postmortem.model import Crash

_SYSTEMD = re.compile(r"core\..{1,200}\.\d{1,10}\.[0-9a-f]{32}\.\d{1,10}\.(\d{16})(?:\.\w{1,8})?$")
"""core.COMMAND.UID.BOOT.PID.MICROSECONDS (systemd's coredump.c)."""


def moment(path: Path) -> tuple[str | None, Literal["name", "file"] | None]:
    """ISO 8601 in UTC, and whether it is of the file's name or of its last change; nothing where neither tells."""
    named = _SYSTEMD.fullmatch(path.name)
    try:
        at = datetime.fromtimestamp(int(named[1]) / 1_000_000 if named else path.stat().st_mtime, UTC)
    except (ValueError, OverflowError, OSError):
        return None, None
    return at.replace(microsecond=0).isoformat(), "name" if named else "file"


def dated(crash: Crash, core: Path) -> Crash:
    """The crash of a core with its time, as far as the file tells."""
    when, source = moment(core)
    return msgspec.structs.replace(crash, time=when, time_source=source)
