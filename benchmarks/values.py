"""What arguments and locals cost: time, CPU and peak memory of one analysis with and without them, cold and warm.

    python benchmarks/values.py CORE EXE [CORE EXE ...] [--pairs N] [--debug-dir DIR]

Cold is the first run with an empty cache of symbols. Then come N pairs of runs with a full cache, one with values and
one without, in turns, each a process of its own. What values cost is the median of the pairs' differences; of the CPU
time too, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

_RUN = """
import json, resource, sys, time
from pathlib import Path
import postmortem
begin = time.perf_counter()
options = postmortem.Options(
    executable=Path(sys.argv[2]), values=sys.argv[3], debug_dirs=tuple(Path(name) for name in sys.argv[4:])
)
report = postmortem.analyze(sys.argv[1], options)
spent = time.perf_counter() - begin
values = sum(len(frame.arguments) + len(frame.locals) for frame in report.threads[0].frames)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read = [name for name in ("postmortem.values.units", "elftools") if name in sys.modules]
print(json.dumps([spent, time.process_time(), memory / 1024, values, read]))
"""


class Run(NamedTuple):
    """wall: seconds of the analysis; cpu: of the whole process; memory: MB at the peak; read: which of the modules that
    read DWARF were imported."""

    wall: float
    cpu: float
    memory: float
    values: int
    read: list[str]


def run(core: str, executable: str, which: str, cache: Path, folders: list[str]) -> Run:
    """One analysis in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, core, executable, which, *folders],
        env={**os.environ, "POSTMORTEM_CACHE": str(cache)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return Run(*json.loads(done.stdout))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("files", nargs="+", metavar="CORE EXE")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--debug-dir", action="append", default=[])
    options = parser.parse_args()
    for core, executable in zip(options.files[::2], options.files[1::2], strict=True):
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder)
            cold = run(core, executable, "crashing", cache, options.debug_dir)
            # Reading stops after a second, and the next run goes on from there.
            while (warm := run(core, executable, "crashing", cache, options.debug_dir)).read:
                pass
            pairs = []
            for index in range(options.pairs):
                kinds = ("none", "crashing") if index % 2 else ("crashing", "none")
                made = {which: run(core, executable, which, cache, options.debug_dir) for which in kinds}
                pairs.append((made["none"], made["crashing"]))
        print(core)
        print(f"  cold {cold.wall:.3f} s, {cold.cpu:.3f} s of CPU, {cold.memory:.0f} MB, {cold.values} values")
        print(f"  warm {warm.values} values, modules that read DWARF: {', '.join(warm.read) or 'none'}")
        for name in ("wall", "cpu", "memory"):
            without, with_values = ([getattr(pair[side], name) for pair in pairs] for side in (0, 1))
            more = [b - a for a, b in zip(without, with_values, strict=True)]
            print(
                f"  {name:6} without {statistics.median(without):8.3f}, with {statistics.median(with_values):8.3f},"
                f" more: median {statistics.median(more):+.3f}, from {min(more):+.3f} to {max(more):+.3f}"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
