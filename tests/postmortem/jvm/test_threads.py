"""Threads, their Java frames, locks and deadlocks equal `jcmd Thread.print -l` taken just before the core."""

from __future__ import annotations

import pytest

from tests.postmortem.jvm import check, compare, corpus, truth

pytestmark = [pytest.mark.jdk, pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(corpus.ASKED))]


def dump_of(jdk: int, kind: str) -> truth.ThreadDump:
    text = check.told(corpus.case(jdk, kind), "Thread.print")
    assert text is not None
    dump = truth.thread_print(text)
    assert len(dump.threads) > 10
    return dump


def test_frames_equal_the_dump_s(jdk: int, kind: str) -> None:
    dump = dump_of(jdk, kind)
    assert sum(len(thread.frames) for thread in dump.threads) > 40
    assert not compare.dumped_frames(check.report_of(corpus.case(jdk, kind)), dump)


def test_names_and_states_equal_the_dump_s(jdk: int, kind: str) -> None:
    assert not compare.dumped_threads(check.report_of(corpus.case(jdk, kind)), dump_of(jdk, kind))


def test_locks_equal_the_dump_s(jdk: int, kind: str) -> None:
    dump = dump_of(jdk, kind)
    assert any(what in compare.WAITS for thread in dump.threads for what, _, _ in thread.locks)
    assert not compare.dumped_locks(check.report_of(corpus.case(jdk, kind)), dump)


def test_deadlocks_equal_the_dump_s(jdk: int, kind: str) -> None:
    dump = dump_of(jdk, kind)
    assert len(dump.deadlocks) == (3 if kind in corpus.DEADLOCKS else 0)
    assert not compare.deadlocks(check.report_of(corpus.case(jdk, kind)), dump)


def test_unmounted_virtual_threads_equal_the_dump_s(jdk: int, kind: str) -> None:
    dumped = check.virtual_threads_of(corpus.case(jdk, kind))
    assert bool(dumped) == (jdk >= 21 and kind not in corpus.DEADLOCKS)
    report = check.report_of(corpus.case(jdk, kind))
    assert not compare.virtual_threads(report, dumped, dump_of(jdk, kind))
