"""The faulting instruction's operands in the program's own words, on real crashes; none that the source contradicts."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import pytest

import postmortem
from postmortem.model.queries.crash import faulting_operand
from tests.postmortem import corpus

if TYPE_CHECKING:
    from postmortem.model import Report

pytestmark = pytest.mark.corpus

# What the source of each says was null, freed, or the divisor.
NULL = {
    "null-field-read": "account",
    "null-field-read-aslr": "account",
    "null-debuglink": "account",
    "null-static": "account",
    "null-under-asan-build": "account",
    "null-write": "counter",
    "null-inlined": "item.price",
    "null-over-base": "route->last",
    "null-threads-30": "job",
    "null-in-library": "ledger->last",
    "null-coroutine": "message->body",
    "null-after-malloc": "buffer",
    "null-beside-another-allocator": "row",
    "null-shallow-recursion": "tree",
    "null-disk-full": "value",
    "null-without-cfi": "cell",
    "null-handler-restores-default": "text",
    "null-vptr": "shape->_vptr.Shape",
}
OTHERS = {
    "use-after-free-tcache": "node",
    "use-after-free-tcache-chain": "node",
    "use-after-free-perturbed": "cache->entry",
    "use-after-free-poison": "connection->next",
    "write-string-literal": "text",
    "write-code": "code",
    "read-protected-page": "page",
    "unmapped-wild-index": "values",
}
CALLED = {
    "null-function-field": "file->operations->close",
    "null-function-field-optimised": "file->operations->close",
}
NOT_TOLD = ("null-function", "null-function-frame-pointer")
"""The structure is in no variable any more; no debug info."""
DIVISORS = {"divide-by-zero": "count", "divide-overflow": "right"}


@functools.cache
def analyzed(name: str) -> Report:
    place = corpus.directory() / name
    return postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", strict=True))


@pytest.mark.parametrize(("name", "pointer"), (NULL | OTHERS).items())
def test_the_pointer_is_named(name: str, pointer: str) -> None:
    report = analyzed(name)
    found = faulting_operand(report)
    assert found is not None
    assert found[1].pointer == pointer
    first = next(finding for finding in report.findings if report.verdict and finding.rule == report.verdict.rule)
    assert pointer in first.title or first.evidence[0].value == pointer


@pytest.mark.parametrize(("name", "pointer"), NULL.items())
def test_the_title_says_what_was_null(name: str, pointer: str) -> None:
    # Of a variable of a caller, into which the function that faulted was inlined, the title says whose it is; and of a
    # result what gave it.
    given = r"(?:, the result of \w+\(\)|: \w+\(\) had returned null)?"
    said = re.compile(rf": {re.escape(pointer)}(?: of [\w:]+\(\))? is null{given}$")
    titles = [finding.title for finding in analyzed(name).findings]
    assert any(said.search(title) for title in titles), titles


@pytest.mark.parametrize(("name", "divisor"), DIVISORS.items())
def test_the_divisor_is_named(name: str, divisor: str) -> None:
    report = analyzed(name)
    assert report.crash.operand_sources == {"divisor": divisor}
    assert report.findings[0].evidence[0].value == divisor


@pytest.mark.parametrize(("name", "called"), CALLED.items())
def test_the_pointer_that_was_called_is_named(name: str, called: str) -> None:
    report = analyzed(name)
    assert report.crash.operand_sources == {"callee": called}
    assert report.findings[0].title.endswith(f": {called} is null")
    assert report.findings[0].evidence[0].value == called


@pytest.mark.parametrize("name", NOT_TOLD)
def test_a_pointer_that_can_not_be_told_is_not_named(name: str) -> None:
    assert not analyzed(name).crash.operand_sources


@pytest.mark.parametrize("name", OTHERS)
def test_a_pointer_that_was_not_null_is_not_said_to_be(name: str) -> None:
    assert not any("is null" in finding.title for finding in analyzed(name).findings)
