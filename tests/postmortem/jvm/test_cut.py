"""A core that was cut below the crashing thread's stack, as a small `ulimit -c` leaves it, and the log beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import postmortem
from parsers.elf import core as core_parser
from tests.postmortem.jvm import check, corpus

pytestmark = [pytest.mark.jdk, pytest.mark.parametrize("jdk", corpus.JDKS)]


@pytest.fixture
def cut(jdk: int, tmp_path: Path) -> Path:
    """The core of `jni` up to the page that holds the innermost frame."""
    data = (corpus.case(jdk, "jni") / "core").read_bytes()
    core = core_parser.parse(data)
    sp = core.threads[0].registers["rsp"]
    stack = next(segment for segment in core.segments if segment.start <= sp < segment.start + segment.dumped)
    path = tmp_path / "core"
    path.write_bytes(data[: stack.offset])
    return path


def options(jdk: int) -> postmortem.Options:
    root = check.case_of(corpus.case(jdk, "jni"))["sysroot"]
    return postmortem.Options(sysroot=None if root == "/" else Path(root), strict=True)


def test_the_crash_is_the_log_s(jdk: int, cut: Path) -> None:
    shutil.copy(corpus.case(jdk, "jni") / "hs_err.log", cut.with_name("hs_err.log"))
    report = postmortem.analyze(cut, options(jdk))
    whole = check.report_of(corpus.case(jdk, "jni"))
    assert report.crash.signal is not None and report.crash.signal.name == "SIGSEGV"
    assert report.crash.handler_signal is not None and report.crash.handler_signal.name == "SIGABRT"
    assert (report.crash.tid, hex(report.crash.pc or 0)) == (whole["crash"]["tid"], whole["crash"]["pc"])
    assert report.threads[0].crashed and report.threads[0].tid == report.crash.tid
    assert "crash.Library.parse" in [frame.function for frame in report.threads[0].frames]
    assert report.verdict is not None and report.verdict.rule == "jvm-crash-in-native-library"
    assert any("are the log's" in problem.what for problem in report.problems)


def test_without_the_log_it_is_asked_for(jdk: int, cut: Path) -> None:
    report = postmortem.analyze(cut, options(jdk))
    assert report.verdict is not None and report.verdict.rule == "fatal-signal"
    assert report.verdict.claim == "observation"
    assert f"hs_err_pid{report.process.pid}.log" in report.verdict.next_steps[0]
    (finding,) = [finding for finding in report.findings if finding.rule == "deliberate-abort"]
    assert finding.confidence == "possible" and f"hs_err_pid{report.process.pid}.log" in finding.remedies[0]
