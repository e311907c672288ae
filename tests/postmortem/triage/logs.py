"""Many different logs of one defect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.postmortem.corpus import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LOG = ROOT / "fixtures" / "logs" / "jni-17.log"


def many(folder: Path, count: int) -> Path:
    """A folder of logs of as many processes."""
    text = LOG.read_text(encoding="utf-8")
    for number in range(count):
        place = folder / f"host{number % 5}"
        place.mkdir(parents=True, exist_ok=True)
        pid = f"pid={100_000 + number}"
        (place / f"hs_err_pid{100_000 + number}.log").write_text(
            "\n".join(f"{line}" if "pid=" not in line else _with(line, pid) for line in text.splitlines()),
            encoding="utf-8",
        )
    return folder


def _with(line: str, pid: str) -> str:
    before, _, after = line.partition("pid=")
    return f"{before}{pid}{after.lstrip('0123456789')}"
