"""How fast a triage is: against `gdb -batch` with as many jobs on the same cores, in one run.

    python benchmarks/triage.py DIR [--jobs N] [--most N] [--skip-gdb]

DIR has a folder a crash, with `core` and, for gdb, `exe` in it. The symbol cache is warm: a first triage is not
counted. Printed are seconds, crashes a second, the ratio, the most memory of a process, and where the time of one
small core goes within a warm process.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def descendants(pid: int) -> set[int]:
    """All processes below one."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found |= {child, *descendants(child)}
    return found


def private_memory(pid: int) -> int:
    """Bytes that a process shares with no other one."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


def triage(cores: list[Path], jobs: int) -> tuple[float, int]:
    """(seconds, most private memory of a process in bytes) of a triage."""
    output = Path(tempfile.mkdtemp(prefix="triage-"))
    command = [sys.executable, "-m", "postmortem", "triage", *map(str, cores), "-o", str(output), "--jobs", str(jobs)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.2):
            most = max([most, *map(private_memory, descendants(process.pid))])

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    seconds = time.perf_counter() - start
    over.set()
    watcher.join()
    shutil.rmtree(output)
    if status:
        raise SystemExit(f"postmortem triage ended with {status}")
    return seconds, most


def gdb(cores: list[Path], jobs: int) -> float:
    """Seconds for the stacks of all threads of each core."""

    def one(core: Path) -> None:
        command = ["gdb", "-nx", "-batch", "-ex", "thread apply all bt", str(core.with_name("exe")), str(core)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=300)

    start = time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, cores))
    return time.perf_counter() - start


def breakdown(core: Path) -> None:
    """CPU milliseconds of the stages of one core in a warm process."""
    from postmortem.pipeline import analyze

    for _ in range(3):
        start = time.process_time()
        report = analyze(core)
        spent = time.process_time() - start
    stages = {name: round(seconds * 1000, 1) for name, seconds in report.timings.items() if seconds >= 0.0005}
    print(f"one small core in a warm process: {spent * 1000:.0f} ms of CPU; wall by stage, ms: {stages}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="postmortem triage against gdb -batch.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--skip-gdb", action="store_true")
    options = parser.parse_args()
    cores = sorted(options.folder.glob("*/core"))[: options.most]
    triage(cores, options.jobs)
    ours, memory = triage(cores, options.jobs)
    print(
        f"postmortem triage: {len(cores)} cores, {ours:.1f} s, {len(cores) / ours:.1f}/s, {memory >> 20} MB a process"
    )
    if not options.skip_gdb:
        theirs = gdb(cores, options.jobs)
        print(f"gdb -batch:        {len(cores)} cores, {theirs:.1f} s, {len(cores) / theirs:.1f}/s")
        print(f"ratio {theirs / ours:.1f}")
    breakdown(cores[0])


if __name__ == "__main__":
    main()
