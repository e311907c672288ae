"""A table of case × check over cores that the recipe made.

    python -m tests.postmortem.jvm.check [--empty-sysroot] [--only CHECK] [-v] CASE_DIR...

A case is a directory as fixtures/jvm/recipe.py leaves it. Prints `ok`, or the first differences. Exits with
the number of cases that have any, 255 at most.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import postmortem
from postmortem.model import to_json
from tests.postmortem.jvm import compare, truth

if TYPE_CHECKING:
    from collections.abc import Sequence

LIKE_JNI = ("jni-abort", "jni-assert", "jni-double-free", "jni-fatal", "jni-stack-overflow", "report-timeout")
"""Kinds that die in the native method that `jni` dies in, and leave no log."""

_UNREAD = re.compile(r"Memory read failed for corefile section, (\d+) bytes at (0x[0-9a-f]+)")

Json = dict[str, Any]


def case_of(directory: Path) -> Json:
    """What the recipe wrote about the case."""
    described: Json = json.loads((directory / "case.json").read_text(encoding="utf-8"))
    return described


def report_of(directory: Path, sysroot: Path | None = None, histogram: bool = False) -> Json:
    """The report as JSON has it. sysroot: instead of the root that the case ran in."""
    libraries: tuple[Path, ...] = ()
    if sysroot is None:
        root = case_of(directory)["sysroot"]
        sysroot = None if root == "/" else Path(root)
        # What a later run of the recipe left in the case's place is another build.
        libraries = (directory / "lib",) if (directory / "lib").is_dir() else ()
    options = postmortem.Options(sysroot=sysroot, debug_dirs=libraries, histogram=histogram, strict=True)
    report: Json = json.loads(to_json(postmortem.analyze(directory / "core", options)))
    return report


def told(directory: Path, name: str) -> str | None:
    """The answer of a jcmd, if there is one."""
    path = directory / "jcmd" / f"{name}.txt"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def log_of(directory: Path) -> truth.HsErr | None:
    """The hs_err log, if the JVM wrote one."""
    path = directory / "hs_err.log"
    return truth.hs_err(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None


def crash_checks(report: Json, directory: Path) -> dict[str, list[str]]:
    """Checks against the hs_err log, or for a crash that left none, against the log of `jni`."""
    log = log_of(directory)
    if log is None:
        sibling = log_of(directory.with_name(f"{case_of(directory)['jdk']}-jni"))
        if sibling is None or sibling.java is None or case_of(directory)["kind"] not in LIKE_JNI:
            return {}
        return {"java": compare.native_method_frames(report, sibling.java)}
    return {
        "crash": compare.crash_identity(report, log),
        "java": compare.crash_java_frames(report, log),
        "native": compare.crash_native_frames(report, log),
        "log-threads": compare.log_threads(report, log),
    }


def virtual_threads_of(directory: Path) -> tuple[truth.VirtualThread, ...]:
    """The virtual threads that the JVM dumped to a file; none before 21."""
    path = directory / "jcmd" / "Thread.dump_to_file.json"
    return truth.virtual_threads(path.read_text(encoding="utf-8")) if path.exists() else ()


def _without_lost_stacks(dump: truth.ThreadDump, directory: Path, report: Json) -> tuple[truth.ThreadDump, Json]:
    """gdb's gcore writes zeros for a stack that it could not read whole, and says so: no walk can begin there."""
    said = directory / "gdb.txt"
    if not said.exists():
        return dump, report
    lost = [(int(start, 16), int(size)) for size, start in _UNREAD.findall(said.read_text(errors="replace"))]

    def is_whole(thread: Json) -> bool:
        return not any(start <= int(thread["registers"]["rsp"], 16) < start + size for start, size in lost)

    whole = {thread["tid"] for thread in report["threads"] if is_whole(thread)}
    kept = tuple(thread for thread in dump.threads if thread.tid in whole)
    threads = [thread for thread in report["threads"] if thread["tid"] in whole]
    return truth.ThreadDump(kept, dump.deadlocks), {**report, "threads": threads}


def dump_checks(report: Json, directory: Path) -> dict[str, list[str]]:
    """Checks against jcmd Thread.print."""
    text = told(directory, "Thread.print")
    if text is None:
        return {}
    dump, report = _without_lost_stacks(truth.thread_print(text), directory, report)
    found = {
        "frames": compare.dumped_frames(report, dump),
        "threads": compare.dumped_threads(report, dump),
        "locks": compare.dumped_locks(report, dump),
        "deadlocks": compare.deadlocks(report, dump),
    }
    dumped = virtual_threads_of(directory)
    if dumped:
        found["virtual"] = compare.virtual_threads(report, dumped, dump)
    return found


def state_checks(report: Json, directory: Path) -> dict[str, list[str]]:
    """Checks against the other answers of jcmd."""
    found = {}
    if text := told(directory, "VM.flags"):
        found["flags"] = compare.flags(report, truth.flags(text))
    if text := told(directory, "VM.system_properties"):
        found["properties"] = compare.properties(report, truth.properties(text))
    if (text := told(directory, "GC.heap_info")) and (info := truth.heap_info(text)):
        found["heap"] = compare.heap(report, info)
    if report["jvm"]["histogram"] is not None:
        # Those of Z and Shenandoah count what they find alive, whatever they are asked for.
        text = told(directory, "GC.class_histogram-all")
        if text is not None and not directory.name.split("-", 2)[-1].startswith(("z", "shenandoah")):
            found["histogram"] = compare.histogram_exact(report, truth.histogram(text))
        elif text := told(directory, "GC.class_histogram"):
            found["histogram-floor"] = compare.histogram_floor(report, truth.histogram(text))
    return found


def checks(directory: Path, sysroot: Path | None = None, histogram: bool = True) -> dict[str, list[str]]:
    """All checks that the case has a truth for."""
    report = report_of(directory, sysroot, histogram and (directory / "jcmd").is_dir())
    found = {"walks": compare.walks(report), **crash_checks(report, directory)}
    if report["jvm"] is None:
        found["jvm"] = ["no JVM in the report", *(str(problem) for problem in report["problems"][:4])]
        return found
    found.update(dump_checks(report, directory))
    found.update(state_checks(report, directory))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Check reports of JVM cores against what the JVM said.")
    parser.add_argument("cases", type=Path, nargs="+", metavar="CASE_DIR")
    parser.add_argument("--empty-sysroot", action="store_true", help="analyze with no files at all")
    parser.add_argument("--only", action="append", metavar="CHECK", help="print this check only (repeatable)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print all differences")
    options = parser.parse_args(arguments)
    bad = 0
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    limit = 1000 if options.verbose else 2
    with tempfile.TemporaryDirectory() as empty:
        for directory in options.cases:
            if not (directory / "core").exists():
                continue
            start = time.monotonic()
            try:
                results = checks(directory, Path(empty) if options.empty_sysroot else None)
            except Exception:
                results = {"raised": traceback.format_exc().strip().splitlines()[-3:]}
            took = time.monotonic() - start
            chosen = {name: found for name, found in results.items() if not options.only or name in options.only}
            bad += any(chosen.values())
            words = " ".join(f"{name}:{len(found) or 'ok'}" for name, found in chosen.items())
            sys.stdout.write(f"{directory.name:<30} {took:4.1f}s {words}\n")
            for name, found in chosen.items():
                totals[name][0 if found else 1] += 1
                for line in found[:limit]:
                    sys.stdout.write(f"    {name}: {line}\n")
            sys.stdout.flush()
    for name, (failed, passed) in sorted(totals.items()):
        sys.stdout.write(f"{name:<18} ok in {passed}, differs in {failed}\n")
    return min(bad, 255)


if __name__ == "__main__":
    sys.exit(main())
