"""The folder of a run, and what a killed run has left."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from postmortem.triage.scratch import scratch

if TYPE_CHECKING:
    from pathlib import Path

_HOLDER = """
import sys, time
from pathlib import Path
from postmortem.triage.scratch import scratch
with scratch(Path(sys.argv[1])) as own:
    (own / "fetched").write_bytes(b"x")
    print(own, flush=True)
    sys.stdin.read()
"""


def test_it_is_gone_at_the_end(tmp_path: Path) -> None:
    with scratch(tmp_path) as own:
        (own / "fetched").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_that_of_a_live_one_stays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as dead,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as live,
    ):
        assert dead.stdout is not None and live.stdout is not None
        left, held = dead.stdout.readline().strip(), live.stdout.readline().strip()
        dead.kill()
        dead.wait()
        with scratch(tmp_path) as own:
            assert {str(path) for path in tmp_path.iterdir()} == {held, str(own)}
            assert left not in (held, str(own))
        live.communicate("")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"x")
    output = tmp_path / "out"
    output.mkdir()
    (output / ".scratch-1").symlink_to(elsewhere)
    with scratch(output):
        assert (elsewhere / "precious").exists()
    assert (output / ".scratch-1").is_symlink()
