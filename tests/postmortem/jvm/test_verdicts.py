"""Every crash gets the diagnosis that its recipe names, from its core and from its log alone."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import pytest

import postmortem
from parsers import hs_err
from postmortem.model import to_json
from tests.postmortem.jvm import check, corpus

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.jdk

EACH = [
    *corpus.pairs([*corpus.LOGGED, *corpus.UNLOGGED, *corpus.ASKED]),
    *corpus.pairs(corpus.JUDGED, jdks=corpus.JUDGED_ON),
    *corpus.pairs(corpus.incidents()),
]
KINDS = {kind.name: kind for kind in corpus.recipe().KINDS}
WITHOUT_CORE = {kind.name for kind in corpus.recipe().KINDS if not kind.core}
WITHOUT_LOG = {
    *corpus.UNLOGGED,
    *corpus.ASKED,
    *("jni-fatal", "jni-assert", "jni-double-free", "signal-chain", "code-cache-full", "direct-memory"),
    # Judged by the core: most end without a log, or its log lacks what tells them.
    *corpus.incidents(),
    *("safepoint-stall", "kill-quit-gcore", "report-timeout-oom", "convoy", "deadlock-class-init", "deadlock-virtual"),
}
FEW_FRAMES = {(11, "jni-badref")}
"""The log shows one frame of libjvm and eight words of stack: only the first of these may lead to the library.

Where the library was compiled so that it keeps rbp, HotSpot's walk gets to its frame, and the log tells of it.
"""
PTHREAD = (8, "kill-segv")
"""The thread is not the VM's, and JDK 8 writes its pthread_t."""
LEAST_UNDERSTOOD = 0.98


@functools.cache
def of_core(jdk: int, kind: str) -> dict[str, Any]:
    return check.report_of(corpus.case(jdk, kind))


@functools.cache
def of_log(jdk: int, kind: str) -> dict[str, Any]:
    path = corpus.case(jdk, kind) / "hs_err.log"
    report: dict[str, Any] = json.loads(to_json(postmortem.analyze(path, postmortem.Options(strict=True))))
    return report


def rules(report: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in report["findings"]}


@pytest.mark.parametrize(("jdk", "kind"), [item for item in EACH if item[1] not in WITHOUT_CORE])
def test_verdict_of_the_core(jdk: int, kind: str) -> None:
    report = of_core(jdk, kind)
    expected = KINDS[kind].rules
    assert report["verdict"]["rule"] == expected[0]
    assert set(expected) <= rules(report)
    assert not rules(report) & set(corpus.recipe().NEAR_MISSES.get(kind, ()))


@pytest.mark.parametrize(("jdk", "kind"), [item for item in EACH if item[1] == "full-healthy"])
def test_a_busy_jvm_may_be_met_on_its_way_to_a_safepoint(jdk: int, kind: str) -> None:
    """Every collection passes through that state: it is a possibility, and never the verdict."""
    found = [finding for finding in of_core(jdk, kind)["findings"] if finding["rule"] == "jvm-safepoint-stall"]
    assert all(finding["confidence"] == "possible" for finding in found)


def modules(jdk: int, kind: str) -> set[str | None]:
    """Of the native frames that the log shows."""
    log = hs_err.parse((corpus.case(jdk, kind) / "hs_err.log").read_bytes())
    return set() if log.thread is None else {frame.module for frame in log.thread.native_frames}


@pytest.mark.parametrize(("jdk", "kind"), [item for item in EACH if item[1] not in WITHOUT_LOG])
def test_verdict_of_the_log_is_the_core_s(jdk: int, kind: str) -> None:
    report = of_log(jdk, kind)
    assert report["core"]["format"] == "hs_err"
    few = (jdk, kind) in FEW_FRAMES and "libcrash.so" not in modules(jdk, kind)
    if few and report["verdict"]["rule"] == "jvm-vm-code-crash":
        return  # else the word at the stack pointer led to the library
    assert report["verdict"]["rule"] == KINDS[kind].rules[0]
    if kind not in WITHOUT_CORE:
        core = of_core(jdk, kind)
        assert core["verdict"]["rule"] == report["verdict"]["rule"]
        if report["crash"]["signal"] is not None:
            assert core["crash"]["pc"] == report["crash"]["pc"]
        if (jdk, kind) != PTHREAD:
            assert core["crash"]["tid"] == report["crash"]["tid"]


@pytest.mark.parametrize(("jdk", "kind"), [item for item in EACH if item[1] not in WITHOUT_LOG])
def test_lines_of_the_log_are_understood(jdk: int, kind: str) -> None:
    log = hs_err.parse((corpus.case(jdk, kind) / "hs_err.log").read_bytes())
    assert log.coverage.total > 300
    assert log.coverage.ratio >= LEAST_UNDERSTOOD, [line.text for line in log.unknown]


def test_forty_logs_at_least() -> None:
    assert len([item for item in EACH if item[1] not in WITHOUT_LOG]) >= 40


OF_THE_VM = [item for item in EACH if item[1].startswith(("compiler-", "gc-")) and item[1] not in WITHOUT_LOG]


@pytest.mark.parametrize(("jdk", "kind"), OF_THE_VM)
def test_verdict_without_the_files_is_the_log_s(jdk: int, kind: str, tmp_path: Path) -> None:
    """The core of a container whose image is gone: libjvm's functions have the names that the log has for them."""
    directory = corpus.case(jdk, kind)
    options = postmortem.Options(sysroot=tmp_path, hs_err=directory / "hs_err.log", strict=True)
    report = postmortem.analyze(directory / "core", options)
    assert report.verdict is not None and report.verdict.rule == of_log(jdk, kind)["verdict"]["rule"]
    logged = hs_err.parse((directory / "hs_err.log").read_bytes())
    names = {frame.module_offset: frame.function for frame in logged.thread.native_frames if frame.kind == "V"}
    frames = [frame for frame in report.threads[0].frames if frame.module_offset in names and not frame.inlined]
    assert frames and all(frame.function == names[frame.module_offset] for frame in frames if frame.module_offset)
