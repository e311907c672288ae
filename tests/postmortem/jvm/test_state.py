"""Flags, properties, heap and histogram equal what jcmd said just before the core."""

from __future__ import annotations

import pytest

from tests.postmortem.jvm import check, compare, corpus, truth

pytestmark = pytest.mark.jdk
EACH = corpus.pairs(corpus.ASKED)


def told(jdk: int, kind: str, command: str) -> str:
    text = check.told(corpus.case(jdk, kind), command)
    assert text is not None
    return text


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_flags(jdk: int, kind: str) -> None:
    expected = truth.flags(told(jdk, kind, "VM.flags"))
    assert len(expected) > 400 and any(flag.set for flag in expected.values())
    assert not compare.flags(check.report_of(corpus.case(jdk, kind)), expected)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_properties(jdk: int, kind: str) -> None:
    expected = truth.properties(told(jdk, kind, "VM.system_properties"))
    assert len(expected) > 30
    assert not compare.properties(check.report_of(corpus.case(jdk, kind)), expected)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_heap_usage(jdk: int, kind: str) -> None:
    expected = truth.heap_info(told(jdk, kind, "GC.heap_info"))
    assert expected is not None and expected.used > 1 << 19
    assert not compare.heap(check.report_of(corpus.case(jdk, kind)), expected)


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(corpus.COUNTED))
def test_histogram_is_exact(jdk: int, kind: str) -> None:
    expected = truth.histogram(told(jdk, kind, "GC.class_histogram-all"))
    assert len(expected) > 100
    assert not compare.histogram_exact(check.report_of(corpus.case(jdk, kind), histogram=True), expected)


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(["quiet-serial", "quiet-parallel", "quiet-g1"], since=11))
def test_memory_is_named_for_its_use(jdk: int, kind: str) -> None:
    """Card tables, bitmaps, arenas and large blocks, not only the heap; 8 is stripped, so that it has less."""
    report = check.report_of(corpus.case(jdk, kind))
    sizes: dict[str, int] = {}
    for mapping in report["mappings"]:
        size = int(mapping["end"], 16) - int(mapping["start"], 16)
        sizes[mapping["kind"]] = sizes.get(mapping["kind"], 0) + size
    heap = report["jvm"]["heap"]["maximum"]
    # The kernel joins neighbours to one mapping, which is named for its beginning: a part may go to another name.
    assert heap // 1024 <= sizes["gc card table"] <= heap // 512 + (1 << 16)
    assert sizes["malloc arena"] > 1 << 20
    if kind == "quiet-g1":
        assert sizes["gc structures"] >= heap // 128
    if kind == "quiet-serial" and jdk >= 17:
        assert sizes["anonymous"] < heap // 8, "whose memory is it?"
