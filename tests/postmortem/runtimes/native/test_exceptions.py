"""Which exception ended the process, and what its text is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import postmortem
from tests.postmortem.corpus import directory

if TYPE_CHECKING:
    from postmortem.model.report import CxxException

pytestmark = pytest.mark.corpus


def _report(name: str) -> postmortem.Report:
    core = directory() / name / "core"
    if not core.is_file():
        pytest.skip(f"no core of {name}: its compiler is missing")
    return postmortem.analyze(core, postmortem.Options(strict=True))


def _named(report: postmortem.Report, name: str) -> CxxException:
    return next(item for item in report.native.exceptions if item.type == name)


@pytest.mark.parametrize("name", ["cxx-nested", "cxx-nested-static"])
def test_the_exception_that_its_thread_caught_last_is_the_one(name: str) -> None:
    report = _report(name)
    assert report.verdict is not None and report.verdict.confidence == "certain"
    assert "exception std::invalid_argument: bad port: 99999x (in an exception of type ConfigError: could not" in (
        report.verdict.title
    )
    ended = _named(report, "std::_Nested_exception<ConfigError>")
    wrapped = _named(report, "std::invalid_argument")
    elsewhere = _named(report, "std::runtime_error")
    assert (ended.tid, ended.depth, ended.older) == (report.crash.tid, 0, False)
    assert (wrapped.tid, wrapped.depth, wrapped.older) == (report.crash.tid, 1, True)
    assert elsewhere.depth == 0 and elsewhere.tid not in (None, report.crash.tid)


def test_the_text_of_a_base_is_no_what_of_a_class_with_its_own() -> None:
    (item,) = _report("cxx-own-what").native.exceptions
    assert (item.type, item.what, item.base_text) == ("Deep", None, "base text")


def test_an_inherited_what_is_one() -> None:
    (item,) = _report("cxx-runtime-error").native.exceptions
    assert item.type == "shop::PaymentError" and item.what and item.base_text is None


def test_freed_exceptions_are_not_there() -> None:
    assert _report("cxx-rethrow-nothing").native.exceptions == ()


def test_a_kept_exception_is_held_as_caught_by_no_thread() -> None:
    native = _report("cxx-rethrow-kept").native
    assert [(item.type, item.tid) for item in native.exceptions] == [("std::runtime_error", None)]
    assert native.exceptions_attributed


def test_a_destroyed_thread_counts_more_than_the_exception_that_leaves() -> None:
    report = _report("cxx-thread-unwound")
    assert [item.type for item in report.native.exceptions] == ["std::runtime_error"]
    assert report.verdict is not None and "a joinable std::thread was destroyed" in report.verdict.title
