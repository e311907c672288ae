"""Whether the cost of finding a process's last words grows with its heap: the same crash with a small and a large one.

    python benchmarks/last_words.py [--small MB] [--large MB] [--repeat N] [--only KIND ...]

An uncaught C++ exception, an AddressSanitizer abort, a Go panic and a Rust panic are compiled and crashed with a heap
of --small and of --large MB that is written to, and analyzed. Printed: the best of N wall-clock times of each and their
ratio, and the largest peak memory (ru_maxrss of the whole analysis, which counts mapped pages that were touched, and
RssAnon of the process that reads the core). Fails when the ratio is above --ratio or the peak above --peak MB.
Kinds whose compiler is missing are left out and named. Cores are written below $TMPDIR: a large one needs its room.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

CXX = """
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>
static std::vector<char *> kept;
static void fill(size_t megabytes) {
    for (size_t i = 0; i < megabytes; i++) {
        char *p = (char *)malloc(1 << 20);
        memset(p, 1 + i % 200, 1 << 20);
        kept.push_back(p);
    }
}
static int price(const std::string &name) {
    if (name.size() > 3)
        throw std::runtime_error("no price for " + name);
    return 1;
}
static int overrun(int at) { int *row = new int[8]; return row[at]; }
int main(int count, char **arguments) {
    fill(atoi(arguments[1]));
    return count > 2 ? overrun(count + 6) : price("apples");
}
"""
GO = """
package main
import ("os"; "strconv")
var kept [][]byte
func price(m map[string]int, name string) { m[name] = 1 }
func main() {
    n, _ := strconv.Atoi(os.Args[1])
    for i := 0; i < n; i++ {
        b := make([]byte, 1<<20)
        for j := range b { b[j] = byte(1 + i%200) }
        kept = append(kept, b)
    }
    var m map[string]int
    price(m, "apples")
}
"""
RUST = """
fn price(name: &str) -> u32 { if name.len() > 3 { panic!("no price for {}", name); } 1 }
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for i in 0..n { kept.push(vec![1 + (i % 200) as u8; 1 << 20]); }
    println!("{}", price("apples") as usize + kept.len());
}
"""


@dataclass(frozen=True)
class Kind:
    """A crash: how it is built, how it is run, and what its report must say."""

    name: str
    source: str
    suffix: str
    build: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: dict[str, str]
    said: str


KINDS = (
    Kind("exception", CXX, ".cpp", ("g++", "-O1", "-g"), (), {}, "no price for apples"),
    Kind(
        "asan", CXX, ".cpp", ("g++", "-O1", "-g", "-fsanitize=address"), ("overrun",),
        {"ASAN_OPTIONS": "abort_on_error=1:disable_coredump=0"}, "heap-buffer-overflow",
    ),
    Kind("go", GO, ".go", ("go", "build"), (), {"GOTRACEBACK": "crash"}, "assignment to entry in nil map"),
    Kind("rust", RUST, ".rs", ("rustc", "-g", "-C", "panic=abort"), (), {"RUST_BACKTRACE": "1"}, "no price for apples"),
)  # fmt: skip


def crashed(kind: Kind, megabytes: int, place: Path) -> Path:
    """The core of a kind with a heap of that size."""
    source, program = place / f"main{kind.suffix}", place / "main"
    if not program.exists():
        source.write_text(kind.source)
        environment = {**os.environ, "GO111MODULE": "off", "GOCACHE": str(place / "cache"), "GOFLAGS": ""}
        subprocess.run([*kind.build, "-o", str(program), str(source)], check=True, env=environment, cwd=place)
    where = place / str(megabytes)
    where.mkdir()
    subprocess.run(
        [str(program), str(megabytes), *kind.arguments],
        cwd=where,
        env={"PATH": os.environ["PATH"], **kind.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    )
    cores = list(where.glob("core*"))
    if len(cores) != 1:
        raise SystemExit(f"{kind.name}: no core in {where}; kernel.core_pattern must be 'core'")
    return cores[0]


@dataclass(frozen=True)
class Cost:
    """Seconds, peak resident memory and peak anonymous memory in MB, and what the terminal report says."""

    seconds: float
    resident: float
    anonymous: float
    text: str


def analyzed(core: Path, repeat: int) -> Cost:
    """The best time and the highest peaks of some runs."""
    seconds, resident, anonymous, text = float("inf"), 0.0, 0.0, ""
    for _ in range(repeat):
        peaks = [0.0]
        with tempfile.TemporaryFile() as output:
            start = time.perf_counter()
            command = [sys.executable, "-m", "postmortem", "analyze", str(core), "-o", "-", "--format", "text"]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
            watcher = threading.Thread(target=_watch, args=(process.pid, peaks))
            watcher.start()
            _, _, usage = os.wait4(process.pid, 0)
            seconds = min(seconds, time.perf_counter() - start)
            watcher.join()
            output.seek(0)
            text = " ".join(output.read().decode("utf-8", "replace").split())
        resident, anonymous = max(resident, usage.ru_maxrss / 1024), max(anonymous, peaks[0])
    return Cost(seconds, resident, anonymous, text)


def _watch(pid: int, peaks: list[float]) -> None:
    """RssAnon of a process and of its children while it lives."""
    while Path(f"/proc/{pid}").exists():
        for each in [str(pid), *_children(pid)]:
            try:
                found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{each}/status").read_text())
            except OSError:
                return
            if found:
                peaks[0] = max(peaks[0], int(found[1]) / 1024)
        time.sleep(0.02)


def _children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def main() -> int:
    """Print the table; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=16)
    parser.add_argument("--large", type=int, default=2048)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--ratio", type=float, default=1.3)
    parser.add_argument("--peak", type=float, default=150.0)
    parser.add_argument("--only", nargs="*", choices=[kind.name for kind in KINDS])
    arguments = parser.parse_args()
    broken = False
    print(
        f"{'kind':<12}{arguments.small:>6} MB{arguments.large:>9} MB{'ratio':>8}{'peak':>9}{'RssAnon':>9}  text found"
    )
    for kind in KINDS:
        if arguments.only and kind.name not in arguments.only:
            continue
        if shutil.which(kind.build[0]) is None:
            print(f"{kind.name:<12}left out: no {kind.build[0]}")
            continue
        with tempfile.TemporaryDirectory(prefix="last-words-") as place:
            small = analyzed(crashed(kind, arguments.small, Path(place)), arguments.repeat)
            large = analyzed(crashed(kind, arguments.large, Path(place)), arguments.repeat)
        ratio, peak = large.seconds / small.seconds, max(small.resident, large.resident)
        found = kind.said in small.text and kind.said in large.text
        broken = broken or ratio > arguments.ratio or peak > arguments.peak or not found
        print(
            f"{kind.name:<12}{small.seconds:>7.2f} s{large.seconds:>10.2f} s{ratio:>8.2f}{peak:>6.0f} MB"
            f"{max(small.anonymous, large.anonymous):>6.0f} MB  {'yes' if found else 'NO'}"
        )
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())
