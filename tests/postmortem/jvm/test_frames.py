"""The crashing thread's frames equal those of the hs_err log that the JVM wrote of the same crash."""

from __future__ import annotations

import pytest

from tests.postmortem.jvm import check, compare, corpus

pytestmark = pytest.mark.jdk

EACH = corpus.pairs(corpus.LOGGED)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_the_fault_is_the_log_s(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    log = check.log_of(place)
    assert log is not None and log.tid is not None
    assert not compare.crash_identity(check.report_of(place), log)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_java_frames_equal_the_log_s(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    log = check.log_of(place)
    assert log is not None
    told = [frame for frame in log.java or log.native if frame.kind in ("j", "J")]
    in_java_thread = not kind.startswith(("compiler-", "gc-")) or log.processed is not None
    assert bool(told) == in_java_thread, "the log tells no Java frames"
    assert not compare.crash_java_frames(check.report_of(place), log)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_native_frames_of_the_log_are_among_ours(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    log = check.log_of(place)
    assert log is not None and log.native
    assert not compare.crash_native_frames(check.report_of(place), log)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_threads_are_named_as_in_the_log(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    log = check.log_of(place)
    assert log is not None and len(log.threads) > 5
    assert not compare.log_threads(check.report_of(place), log)


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(corpus.UNLOGGED))
def test_java_frames_above_a_native_method_without_a_log(jdk: int, kind: str) -> None:
    """The same method crashes with a log in the kind `jni`; its Java frames are the same."""
    log = check.log_of(corpus.case(jdk, "jni"))
    assert log is not None and log.java
    report = check.report_of(corpus.case(jdk, kind))
    assert not compare.native_method_frames(report, log.java)


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs([*corpus.LOGGED, *corpus.UNLOGGED, *corpus.ASKED]))
def test_every_walk_reaches_the_bottom(jdk: int, kind: str) -> None:
    assert not compare.walks(check.report_of(corpus.case(jdk, kind)))
