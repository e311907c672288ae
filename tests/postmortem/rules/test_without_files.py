"""The verdict of a core whose files are all gone: what registers, mappings and the stack tell without any code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import postmortem
from tests.postmortem.corpus import directory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.corpus

EACH = [
    ("array-of-two-gigabytes", "stack-overflow", "likely", "where the stack pointer already was"),
    ("stack-overflow-alloca-thread", "stack-overflow", "likely", "where the stack pointer already was"),
    ("stack-alloca-into-arena", "stack-overflow", "likely", "where the stack pointer already was"),
    ("non-canonical-text", "non-canonical-address", "likely", "are text, "),
    ("non-canonical-float", "non-canonical-address", "likely", "floating-point number 1234.5"),
    ("use-after-free-perturbed", "non-canonical-address", "likely", "glibc was told to fill freed memory"),
    ("use-after-free-poison", "non-canonical-address", "likely", "the pattern deadbeef"),
    # Near misses: no register holds a known pattern, or the stack pointer is in memory.
    ("privileged-instruction", "fatal-signal", "certain", "The cause is open"),
    ("misaligned-sse", "fatal-signal", "certain", "The cause is open"),
    ("musl-stack-smash", "fatal-signal", "certain", "The cause is open"),
    ("null-coroutine", "null-dereference", "likely", "never mapped"),
    ("unmapped-wild-index", "unmapped-address", "certain", "No mapping holds"),
]


@pytest.mark.parametrize(("name", "rule", "confidence", "words"), EACH)
def test_verdict_without_files(name: str, rule: str, confidence: str, words: str, tmp_path: Path) -> None:
    core = directory() / name / "core"
    if not core.is_file():
        pytest.skip(f"no core of {name}: its compiler is missing")
    report = postmortem.analyze(core, postmortem.Options(sysroot=tmp_path, strict=True))
    assert report.verdict is not None
    assert (report.verdict.rule, report.verdict.confidence) == (rule, confidence)
    assert words in report.findings[0].explanation
