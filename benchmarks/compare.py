"""Times postmortem and its peers side by side on the same cores in one run, and prints ratios.

    python benchmarks/compare.py CORE [--exe EXE] [CORE --exe EXE ...] [--repeat N]

Per tool the best of N runs counts. postmortem writes its full JSON report; eu-stack and gdb print all
threads' native stacks; drgn likewise. A peer that is not installed is left out and named.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_DRGN = """
import sys, drgn
program = drgn.Program()
program.set_core_dump(sys.argv[1])
try:
    program.load_debug_info(None, default=True)
except drgn.MissingDebugInfoError:
    print("drgn: some debug info is missing", file=sys.stderr)
for thread in program.threads():
    print(thread.tid)
    try:
        print(thread.stack_trace())
    except (ValueError, LookupError) as error:
        print(error)
"""


@dataclass(frozen=True)
class Timing:
    """Best wall-clock seconds, and peak resident memory in MB of that tool."""

    seconds: float
    memory: float
    failed: bool


def measure(command: list[str], repeat: int, before: list[Path] | None = None) -> Timing:
    """Run a command `repeat` times; `before`: directories emptied before each run (a cold cache)."""
    best, memory, failed = float("inf"), 0.0, False
    for _ in range(repeat):
        for directory in before or []:
            shutil.rmtree(directory, ignore_errors=True)
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        best = min(best, time.perf_counter() - start)
        memory = max(memory, usage.ru_maxrss / 1024)
        failed |= process.returncode != 0
    return Timing(best, memory, failed)


def compare(core: Path, exe: Path | None, repeat: int, sysroot: Path | None) -> None:
    """One table for one core."""
    print(f"\n{core}  ({core.stat().st_size >> 20} MB apparent, {core.stat().st_blocks >> 11} MB on disk)")
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "cache"
        os.environ["POSTMORTEM_CACHE"] = str(cache)
        output = str(Path(scratch) / "report.json")
        ours = [sys.executable, "-m", "postmortem", "analyze", str(core), "--format", "json", "-o", output]
        ours += ["--exe", str(exe)] if exe else []
        ours += ["--sysroot", str(sysroot)] if sysroot else []
        rows = {"postmortem, cold cache": measure(ours, min(repeat, 2), [cache])}
        rows["postmortem, warm cache"] = measure(ours, repeat)
        if shutil.which("eu-stack"):
            rows["eu-stack"] = measure(
                ["eu-stack", "--core", str(core)] + (["-e", str(exe)] if exe else []), repeat
            )
        if shutil.which("gdb"):
            gdb = ["gdb", "-batch", "-nx", "-ex", "thread apply all bt", "-c", str(core)]
            rows["gdb"] = measure(gdb + ([str(exe)] if exe else []), min(repeat, 3))
        drgn = subprocess.run([sys.executable, "-c", "import drgn"], capture_output=True)
        if drgn.returncode == 0:
            rows["drgn"] = measure([sys.executable, "-c", _DRGN, str(core)], min(repeat, 3))
    reference = rows["postmortem, warm cache"].seconds
    print(f"{'tool':26}{'seconds':>9}{'ours/theirs':>13}{'peak MB':>9}")
    for name, row in rows.items():
        note = "  (failed)" if row.failed else ""
        print(f"{name:26}{row.seconds:9.3f}{reference / row.seconds:13.2f}{row.memory:9.0f}{note}")
    missing = {"eu-stack", "gdb", "drgn"} - rows.keys()
    if missing:
        print(f"not installed here: {', '.join(sorted(missing))}")


def main() -> None:
    """Parse arguments and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cores", nargs="+", type=Path)
    parser.add_argument("--exe", action="append", default=[], type=Path, help="one per core, in order")
    parser.add_argument("--sysroot", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    executables: list[Path | None] = [*options.exe, *[None] * len(options.cores)]
    for core, exe in zip(options.cores, executables, strict=False):
        compare(core, exe, options.repeat, options.sysroot)


if __name__ == "__main__":
    main()
