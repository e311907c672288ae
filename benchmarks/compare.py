"""Times postmortem and its peers side by side on the same cores in one run, and prints ratios.

    python benchmarks/compare.py CORE [--exe EXE] [CORE --exe EXE ...] [--repeat N] [--histogram]

Per tool the best of N runs counts. postmortem writes its full JSON report; eu-stack and gdb print all
threads' native stacks; drgn likewise; jhsdb, for the JVM that it belongs to, prints its mixed stacks. With
--histogram the class histogram is made, and jhsdb's is the only peer. A peer that is not installed is left
out and named; one that takes longer than --timeout seconds is stopped, and its time is a lower bound.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
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
    note: str = ""


def measure(command: list[str], repeat: int, timeout: float, before: list[Path] | None = None) -> Timing:
    """Run a command `repeat` times; `before`: directories emptied before each run (a cold cache)."""
    best, memory, note = float("inf"), 0.0, ""
    for _ in range(repeat):
        for directory in before or []:
            shutil.rmtree(directory, ignore_errors=True)
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        watchdog.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        best = min(best, seconds)
        memory = max(memory, usage.ru_maxrss / 1024)
        if seconds >= timeout:
            return Timing(best, memory, "stopped: not done by then")
        if process.returncode != 0:
            note = "failed"
    return Timing(best, memory, note)


def compare(core: Path, exe: Path | None, options: argparse.Namespace) -> None:
    """One table for one core."""
    repeat, timeout = options.repeat, options.timeout
    print(f"\n{core}  ({core.stat().st_size >> 20} MB apparent, {core.stat().st_blocks >> 11} MB on disk)")
    jhsdb = shutil.which("jhsdb")
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "cache"
        os.environ["POSTMORTEM_CACHE"] = str(cache)
        # An installed program has its bytecode; a source tree writes it at its first run unless told not to.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        output = str(Path(scratch) / "report.json")
        ours = [sys.executable, "-m", "postmortem", "analyze", str(core), "--format", "json", "-o", output]
        ours += ["--exe", str(exe)] if exe else []
        ours += ["--sysroot", str(options.sysroot)] if options.sysroot else []
        ours += ["--histogram"] if options.histogram else []
        rows = {"postmortem, cold cache": measure(ours, min(repeat, 2), timeout, [cache])}
        rows["postmortem, warm cache"] = measure(ours, repeat, timeout)
        if options.histogram:
            peers = {"jhsdb"}
            if jhsdb and exe:
                rows["jhsdb jmap --histo"] = measure(
                    [jhsdb, "jmap", "--histo", "--exe", str(exe), "--core", str(core)], 1, timeout
                )
        else:
            peers = {"eu-stack", "gdb", "drgn", "jhsdb"}
            rows |= _stacks(core, exe, repeat, timeout, jhsdb)
    reference = rows["postmortem, warm cache"].seconds
    print(f"{'tool':26}{'seconds':>9}{'ours/theirs':>13}{'peak MB':>9}")
    for name, row in rows.items():
        print(f"{name:26}{row.seconds:9.3f}{reference / row.seconds:13.3f}{row.memory:9.0f}  {row.note}")
    missing = peers - {name.split()[0] for name in rows}
    if missing:
        print(f"not installed here, or no --exe: {', '.join(sorted(missing))}")


def _stacks(core: Path, exe: Path | None, repeat: int, timeout: float, jhsdb: str | None) -> dict[str, Timing]:
    rows = {}
    if shutil.which("eu-stack"):
        command = ["eu-stack", "--core", str(core)] + (["-e", str(exe)] if exe else [])
        rows["eu-stack"] = measure(command, repeat, timeout)
    if shutil.which("gdb"):
        gdb = ["gdb", "-batch", "-nx", "-ex", "thread apply all bt", "-c", str(core)]
        rows["gdb"] = measure(gdb + ([str(exe)] if exe else []), min(repeat, 3), timeout)
    if subprocess.run([sys.executable, "-c", "import drgn"], capture_output=True).returncode == 0:
        rows["drgn"] = measure([sys.executable, "-c", _DRGN, str(core)], min(repeat, 3), timeout)
    if jhsdb and exe and exe.name == "java":
        command = [jhsdb, "jstack", "--mixed", "--exe", str(exe), "--core", str(core)]
        rows["jhsdb jstack --mixed"] = measure(command, min(repeat, 2), timeout)
        rows["jhsdb jstack"] = measure([part for part in command if part != "--mixed"], min(repeat, 2), timeout)
    return rows


def main() -> None:
    """Parse arguments and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cores", nargs="+", type=Path)
    parser.add_argument("--exe", action="append", default=[], type=Path, help="one per core, in order")
    parser.add_argument("--sysroot", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=180.0, metavar="SECONDS")
    parser.add_argument("--histogram", action="store_true")
    options = parser.parse_args()
    executables: list[Path | None] = [*options.exe, *[None] * len(options.cores)]
    for core, exe in zip(options.cores, executables, strict=False):
        compare(core, exe, options)


if __name__ == "__main__":
    main()
