"""What arguments and locals cost: time and peak memory of one analysis with and without them, cold and warm.

    python benchmarks/values.py CORE EXE [CORE EXE ...] [--repeat N]

Cold is with an empty cache of symbols for each run; warm with a full one. Each run is a process of its own; the best
time of N and the largest memory count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_RUN = """
import json, resource, sys, time
from pathlib import Path
import postmortem
begin = time.perf_counter()
options = postmortem.Options(executable=Path(sys.argv[2]), values=sys.argv[3])
report = postmortem.analyze(sys.argv[1], options)
spent = time.perf_counter() - begin
values = sum(len(frame.arguments) + len(frame.locals) for frame in report.threads[0].frames)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read = "postmortem.values.units" in sys.modules
print(json.dumps([spent, memory // 1024, values, report.timings.get("values", 0.0), read]))
"""


def run(core: str, executable: str, which: str, cache: Path) -> tuple[float, int, int, float, bool]:
    """Seconds, MB at the peak, number of values, seconds of the stage, whether DWARF was read."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, core, executable, which],
        env={**os.environ, "POSTMORTEM_CACHE": str(cache)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    spent, memory, values, stage, imported = json.loads(done.stdout)
    return spent, memory, values, stage, imported


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("files", nargs="+", metavar="CORE EXE")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    for core, executable in zip(options.files[::2], options.files[1::2], strict=True):
        with tempfile.TemporaryDirectory() as folder:
            cold = [run(core, executable, "crashing", Path(folder) / f"{n}") for n in range(options.repeat)]
            shared = Path(folder) / "shared"
            run(core, executable, "crashing", shared)
            without = [run(core, executable, "none", shared) for _ in range(options.repeat)]
            warm = [run(core, executable, "crashing", shared) for _ in range(options.repeat)]
        print(core)
        for name, runs in (("without values", without), ("warm", warm), ("cold", cold)):
            spent, stage = min(one[0] for one in runs), min(one[3] for one in runs)
            memory = max(one[1] for one in runs)
            read = "DWARF read" if any(one[4] for one in runs) else "no DWARF read"
            print(f"  {name:15} {spent:7.3f} s, stage {stage:6.3f} s, {memory:5} MB, {runs[0][2]:4} values, {read}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
