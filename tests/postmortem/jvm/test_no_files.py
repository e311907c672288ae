"""Cores of 11 to 27 with no file but the core, and of all with files but no JDK to run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import postmortem
from postmortem.model import to_json
from tests.postmortem.jvm import check, compare, corpus, truth

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.jdk

SELF_CONTAINED = [jdk for jdk in corpus.JDKS if jdk >= 11]
CRASHES = corpus.pairs((kind for kind in corpus.WHOLE if kind in corpus.LOGGED), since=11)


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A root without files."""
    root = tmp_path / "empty"
    root.mkdir()
    return root


@pytest.mark.parametrize(("jdk", "kind"), CRASHES)
def test_frames_of_a_crash(jdk: int, kind: str, nowhere: Path) -> None:
    place = corpus.case(jdk, kind)
    log = check.log_of(place)
    assert log is not None
    report = check.report_of(place, sysroot=nowhere)
    assert all(module["file"] is None for module in report["modules"])
    assert not compare.crash_identity(report, log)
    assert not compare.crash_java_frames(report, log)
    assert not compare.crash_native_frames(report, log)
    assert not compare.walks(report)


@pytest.mark.parametrize("kind", ["jni-nested", "mapped-jni", "unsafe-native"])
def test_the_fault_behind_a_handler_whose_trampoline_is_not_at_hand(kind: str, nowhere: Path) -> None:
    """JDK 8's cores lack the code of files: the stack alone tells where the kernel called the handler."""
    log = check.log_of(corpus.case(8, kind))
    assert log is not None
    report = check.report_of(corpus.case(8, kind), sysroot=nowhere)
    assert report["crash"]["unwrapped"]
    assert not compare.crash_identity(report, log)
    assert any(frame["kind"] == "signal" for frame in report["threads"][0]["handler_frames"])


def test_a_function_that_the_walk_may_have_passed_by_is_not_the_place(nowhere: Path) -> None:
    """abort() in a function that the native method called, in a forked child: libc has no call frame information."""
    report = check.report_of(corpus.case(8, "stall-child"), sysroot=nowhere)
    verdict = report["verdict"]
    assert (verdict["rule"], verdict["confidence"]) == ("jvm-crash-in-native-library", "likely")
    assert verdict["title"].startswith("In a forked child: abort()")
    assert "or a function that it called" in verdict["title"]
    assert report["process"]["forked"] is True
    assert check.report_of(corpus.case(8, "jni-abort"), sysroot=nowhere)["process"]["forked"] is None


@pytest.mark.parametrize("jdk", SELF_CONTAINED)
def test_frames_above_an_abort(jdk: int, nowhere: Path) -> None:
    log = check.log_of(corpus.case(jdk, "jni"))
    assert log is not None and log.java
    report = check.report_of(corpus.case(jdk, "jni-abort"), sysroot=nowhere)
    assert not compare.native_method_frames(report, log.java)


@pytest.mark.parametrize("jdk", [jdk for jdk in SELF_CONTAINED if jdk >= 21])
def test_the_thread_that_another_ended_the_process_for(jdk: int, nowhere: Path) -> None:
    """Without libjvm's symbols nothing says whose fault was reported; one handler alone can be it."""
    crash = check.report_of(corpus.case(jdk, "report-timeout"), sysroot=nowhere)["crash"]
    with_files = check.report_of(corpus.case(jdk, "report-timeout"))["crash"]
    assert (crash["tid"], crash["pc"], crash["handler_tid"]) == (
        with_files["tid"], with_files["pc"], with_files["handler_tid"],
    )  # fmt: skip
    assert crash["signal"]["name"] == "SIGSEGV"


@pytest.mark.parametrize("jdk", SELF_CONTAINED)
def test_threads_and_state(jdk: int, nowhere: Path) -> None:
    place = corpus.case(jdk, "deadlock")
    report = check.report_of(place, sysroot=nowhere, histogram=True)
    dumped, flags, properties, heap, counted = (
        check.told(place, name)
        for name in ("Thread.print", "VM.flags", "VM.system_properties", "GC.heap_info", "GC.class_histogram-all")
    )
    assert dumped and flags and properties and heap and counted
    dump = truth.thread_print(dumped)
    assert not compare.dumped_frames(report, dump)
    assert not compare.dumped_threads(report, dump)
    assert not compare.deadlocks(report, dump)
    assert not compare.flags(report, truth.flags(flags))
    assert not compare.properties(report, truth.properties(properties))
    info = truth.heap_info(heap)
    assert info is not None
    assert not compare.heap(report, info)
    assert not compare.histogram_exact(report, truth.histogram(counted))


@pytest.mark.parametrize("jdk", SELF_CONTAINED)
def test_exported_functions_are_named(jdk: int, nowhere: Path) -> None:
    """From the dynamic symbols that the core's own pages hold; static functions stay nameless, never wrong."""
    with_files = check.report_of(corpus.case(jdk, "jni"))["threads"][0]["frames"]
    without = check.report_of(corpus.case(jdk, "jni"), sysroot=nowhere)["threads"][0]["frames"]
    assert [frame["pc"] for frame in with_files] == [frame["pc"] for frame in without]
    names = {frame["function"] for frame in without}
    assert {"Java_crash_Library_parse0", "crash.Library.parse", "crash.Crash.main"} <= names
    for full, bare in zip(with_files, without, strict=True):
        assert bare["function"] in (full["function"], None)


@pytest.mark.parametrize("kind", ["jni-nested", "quiet-g1"])
@pytest.mark.parametrize("jdk", corpus.JDKS)
def test_nothing_of_a_jdk_is_run(jdk: int, kind: str) -> None:
    """The command line, with no program on the path, gives what the library gives."""
    place = corpus.case(jdk, kind)
    root = check.case_of(place)["sysroot"]
    command = [sys.executable, "-m", "postmortem", "analyze", str(place / "core"), "--format", "json", "-o", "-"]
    if root != "/":
        command += ["--sysroot", root]
    # As report_of does: the root may hold a later build of the library by now.
    command += ["--debug-dir", str(place / "lib")]
    environment = {"PATH": "/nonexistent", "HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8"}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120).stdout
    report = json.loads(output)
    assert report["threads"] == check.report_of(place)["threads"]
    assert report["jvm"]["heap"] == check.report_of(place)["jvm"]["heap"]


@pytest.mark.parametrize("jdk", corpus.JDKS)
def test_an_error_that_ended_the_vm_is_told_by_its_words(jdk: int, nowhere: Path) -> None:
    """From the buffer of the text: in libjvm's data, in JDK 8 on the stack."""
    report = check.report_of(corpus.case(jdk, "oom"), sysroot=nowhere)
    assert report["verdict"]["rule"] == "jvm-java-heap-exhausted"
    words = ("Java heap exhausted: Java heap space", "Java heap exhausted: GC overhead limit exceeded")
    assert report["verdict"]["title"].startswith(words)
    assert "fragmented" not in report["verdict"]["title"]
    aborted = check.report_of(corpus.case(jdk, "jni-abort"), sysroot=nowhere)
    assert "jvm-java-heap-exhausted" not in {finding["rule"] for finding in aborted["findings"]}


@pytest.mark.parametrize("kind", ["jni", "jni-nested"])
def test_the_log_names_the_frames_of_a_core_without_tables(kind: str, nowhere: Path) -> None:
    """JDK 8's cores have neither libjvm's tables nor the code at pc; the log has both."""
    place = corpus.case(8, kind)
    options = postmortem.Options(sysroot=nowhere, hs_err=place / "hs_err.log", strict=True)
    report = json.loads(to_json(postmortem.analyze(place / "core", options)))
    names = {frame["function"] for frame in report["threads"][0]["frames"]}
    assert "crash.Library.parse" in names and report["verdict"]["rule"] == "jvm-crash-in-native-library"
    assert report["crash"]["instruction"] and report["threads"][0]["handler_frames"]
    assert any("are the log's" in problem["what"] for problem in report["problems"])
    with_files = postmortem.Options(sysroot=corpus.recipe().DEFAULT_ROOT, hs_err=place / "hs_err.log", strict=True)
    own = json.loads(to_json(postmortem.analyze(place / "core", with_files)))
    assert not any("are the log's" in problem["what"] for problem in own["problems"])
