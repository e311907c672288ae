"""News that a killed run did not tell."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner

from postmortem.cli.group import cli
from postmortem.triage.news import News
from tests.postmortem.corpus import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ONE, OTHER, THIRD = ("a" * 32, "b" * 32, "c" * 32)
_KILLED = """
import os, signal, sys
from postmortem.triage import write
write.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from postmortem.__main__ import main
sys.argv = ["postmortem", "triage", *sys.argv[1:]]
main()
"""


def test_what_was_not_told_is_the_next_run_s_to_tell(tmp_path: Path) -> None:
    dead = os.fork()
    if dead == 0:
        News(tmp_path, ONE)
        os._exit(1)
    os.waitpid(dead, 0)
    live = News(tmp_path, OTHER)
    assert live.runs == [OTHER, ONE]
    beside = News(tmp_path, THIRD)  # while the other runs, which tells what was left
    assert beside.runs == [THIRD]
    live.told()
    beside.told()
    assert list(tmp_path.iterdir()) == []
    assert News(tmp_path, ONE).runs == [ONE]


def test_a_run_killed_before_it_wrote(tmp_path: Path) -> None:
    arguments = [str(ROOT / "fixtures" / "demo" / "core.zst"), "-o", str(tmp_path / "out"), "--jobs", "1"]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *arguments], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    again = CliRunner().invoke(cli, ["triage", *arguments, "--fail-on", "new"])
    assert (again.exit_code, "1 new" in again.stdout) == (1, True), again.output
    known = CliRunner().invoke(cli, ["triage", *arguments, "--fail-on", "new"])
    assert (known.exit_code, "0 new" in known.stdout) == (0, True), known.output
