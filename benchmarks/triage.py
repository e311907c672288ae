"""How fast a triage is: against `gdb -batch` with as many jobs on the same cores, in turns within one run.

    python benchmarks/triage.py DIR [--jobs N] [--most N] [--turns N] [--skip-gdb]

DIR has a folder a crash, with `core` and, for gdb, `exe` in it; fixtures/native/variants.py makes one. The symbol
cache is warm: a first triage is not counted. Printed are wall and CPU seconds (user and system, of all processes) of
each turn, crashes a second, the ratios of the medians, the most memory of a process, and where the time of one small
core goes within a warm process. On a machine that others use, too, the ratio of CPU seconds is the one that lasts.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Spent:
    """Seconds of a run: on the clock, and of CPU time of all its processes."""

    wall: float
    cpu: float

    def words(self, cores: int) -> str:
        """For so many cores."""
        return f"{self.wall:6.1f} s wall, {self.cpu:6.1f} s CPU, {cores / self.wall:5.1f}/s"


class Watch:
    """Begun when it is made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), self._children()

    def spent(self) -> Spent:
        """Until now, with what left orphans spent: they are ours, who adopts them, to wait for."""
        wall = time.perf_counter() - self._wall
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        return Spent(wall, self._children() - self._cpu)

    @staticmethod
    def _children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime


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


def triage(cores: list[Path], jobs: int) -> tuple[Spent, int]:
    """(what it spent, most private memory of a process in bytes) of a triage."""
    output = Path(tempfile.mkdtemp(prefix="triage-"))
    command = [sys.executable, "-m", "postmortem", "triage", *map(str, cores), "-o", str(output), "--jobs", str(jobs)]
    clock = Watch()
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
    over.set()
    spent = clock.spent()
    watcher.join()
    shutil.rmtree(output)
    if status:
        raise SystemExit(f"postmortem triage ended with {status}")
    return spent, most


def gdb(cores: list[Path], jobs: int) -> Spent:
    """What it spends on the stacks of all threads of each core."""

    def one(core: Path) -> None:
        command = ["gdb", "-nx", "-batch", "-ex", "thread apply all bt", str(core.with_name("exe")), str(core)]
        with suppress(subprocess.TimeoutExpired):  # a stack of 100,000 frames takes it minutes: as long counts
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=300)

    clock = Watch()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, cores))
    return clock.spent()


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
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--skip-gdb", action="store_true")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    every = sorted(options.folder.glob("*/core"))
    cores = every[:: max(1, -(-len(every) // options.most))]
    number = len(cores)
    print(f"first triage, cache cold or not: {triage(cores, options.jobs)[0].words(number)}")
    ours: list[Spent] = []
    theirs: list[Spent] = []
    for _ in range(options.turns):
        spent, memory = triage(cores, options.jobs)
        ours.append(spent)
        print(f"postmortem triage: {number} cores, {spent.words(number)}, {memory >> 20} MB a process", flush=True)
        if not options.skip_gdb:
            theirs.append(gdb(cores, options.jobs))
            print(f"gdb -batch:        {number} cores, {theirs[-1].words(number)}", flush=True)
    if theirs:
        wall, cpu = (_median(theirs, what) / _median(ours, what) for what in ("wall", "cpu"))
        print(f"gdb / postmortem: wall {wall:.1f}, CPU {cpu:.1f}")
    breakdown(cores[0])


def _median(spent: list[Spent], what: str) -> float:
    return float(statistics.median(getattr(item, what) for item in spent))


if __name__ == "__main__":
    main()
