"""The model under several threads at once, as a cluster's worker has them."""

from __future__ import annotations

import subprocess
import sys

from postmortem.model import to_json
from tests.build import reports as build

_FIRST_USE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from postmortem.model import from_json
data = sys.stdin.buffer.read()
with ThreadPoolExecutor(8) as pool:
    assert len({report.tool.name for report in pool.map(from_json, [data] * 64)}) == 1
"""


def test_several_threads_read_their_first_reports_at_once() -> None:
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", _FIRST_USE], input=to_json(build.minimal()), check=False)
        assert done.returncode == 0
