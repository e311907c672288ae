"""What goes astray between Java and native code: who is named, how surely, and what is not claimed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import postmortem
from postmortem.model import to_json
from tests.postmortem.jvm import check, corpus

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.jdk
BOTH = pytest.mark.parametrize("jdk", [8, 25])

Json = dict[str, Any]


def report_of(jdk: int, kind: str, sysroot: Path | None = None) -> Json:
    return check.report_of(corpus.case(jdk, kind), sysroot=sysroot)


def of_log(jdk: int, kind: str) -> Json:
    path = corpus.case(jdk, kind) / "hs_err.log"
    found: Json = json.loads(to_json(postmortem.analyze(path, postmortem.Options(strict=True))))
    return found


def finding(report: Json, rule: str) -> Json:
    found: Json = next(item for item in report["findings"] if item["rule"] == rule)
    return found


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A root without files."""
    root = tmp_path / "empty"
    root.mkdir()
    return root


@BOTH
def test_the_caller_of_a_function_without_a_frame_comes_before_what_a_walk_by_rbp_finds(jdk: int) -> None:
    """HotSpot's walk goes from strchr() to the JVM, past the function of the library that called it."""
    report = of_log(jdk, "stray-event")
    verdict = report["verdict"]
    assert (verdict["rule"], verdict["confidence"]) == ("jvm-crash-in-native-library", "likely")
    assert "called by native library libstrays.so" in verdict["title"]
    assert finding(report, "jvm-crash-in-native-library")["rivals"]
    assert "perhaps called by libstrays.so" in finding(report, "null-dereference")["title"]


def test_nor_is_it_passed_by_where_no_file_is_at_hand(nowhere: Path) -> None:
    report = report_of(8, "stray-event", nowhere)
    assert report["threads"][0]["frames"][1]["module"].endswith("libstrays.so")
    assert report["verdict"]["rule"] != "jvm-vm-code-crash"
    assert not any("called by libjvm" in item["title"] for item in report["findings"])


@BOTH
def test_with_the_files_the_caller_is_sure(jdk: int) -> None:
    verdict = report_of(jdk, "stray-event")["verdict"]
    assert verdict["confidence"] == "certain"
    assert "is_generic(), strays.c" in verdict["title"]


@pytest.mark.parametrize("jdk", [17, 27])
def test_a_method_that_jni_entered_with_what_is_no_object(jdk: int) -> None:
    report = report_of(jdk, "stray-receiver")
    verdict = report["verdict"]
    assert (verdict["confidence"], verdict["claim"]) == ("likely", "cause")
    assert "called crash.Strays$Ledger.reset() through CallVoidMethod" in verdict["title"]
    assert "for this, in notify_hit(), strays.c" in verdict["title"]
    assert "Nothing need have been overwritten" in verdict["summary"]
    place = finding(report, "jvm-crash-in-interpreter")["explanation"]
    assert "a receiver or arguments that are not its own" in place


@pytest.mark.parametrize("jdk", [17, 27])
def test_a_log_has_no_arguments_so_either_may_be(jdk: int) -> None:
    summary = of_log(jdk, "stray-receiver")["verdict"]["summary"]
    assert "either CallVoidMethod by notify_hit() of libstrays.so entered this very method" in summary
    assert "or a reference or an object header was overwritten before" in summary


def test_nor_names_in_a_stripped_libjvm() -> None:
    assert "either a function of JNI by " in of_log(8, "stray-receiver-miss")["verdict"]["summary"]


def test_a_log_of_a_method_that_java_called_suspects_no_call_of_jni() -> None:
    assert "JNI" not in of_log(8, "interpreter")["verdict"]["summary"]


@BOTH
def test_a_call_of_jni_that_passed_what_it_should_is_not_suspected(jdk: int) -> None:
    verdict = report_of(jdk, "stray-receiver-miss")["verdict"]
    assert "was overwritten before" in verdict["summary"]
    assert "CallIntMethod" not in verdict["summary"]


@BOTH
def test_bytecode_that_nobody_verified_is_a_rival(jdk: int) -> None:
    report = report_of(jdk, "stray-unverified")
    verdict = report["verdict"]
    assert "which is no object: the variable made of crash.Strays.use()" in verdict["title"]
    assert "JVM itself" not in verdict["title"]
    assert any("BytecodeVerificationRemote" in rival for rival in finding(report, "jvm-vm-code-crash")["rivals"])
    assert "VerifyError" in verdict["next_steps"][0]


@pytest.mark.parametrize("jdk", [8, 17, 25])
def test_the_array_before_an_overwritten_header_is_named(jdk: int) -> None:
    report = report_of(jdk, "stray-array")
    verdict = report["verdict"]
    assert verdict["title"].endswith(
        "the header of the object in the variable line was overwritten, right behind int[62]"
    )
    assert "0x11223344 0x11223345 0x11223346 0x11223347" in verdict["summary"]
    assert "libstrays.so" in verdict["summary"]
    assert "libc.so" not in verdict["next_steps"][0]


@pytest.mark.parametrize("jdk", [8, 17, 25])
def test_so_is_it_where_a_collection_meets_the_header(jdk: int) -> None:
    report = report_of(jdk, "stray-collected")
    verdict = report["verdict"]
    assert report["jvm"]["damaged"][0]["after"].startswith("int[62] @0x")
    assert "right before it ends int[62]" in verdict["summary"]
    assert "0x11223346 0x11223347" in verdict["summary"]
    assert "libstrays.so" in verdict["next_steps"][0]


@pytest.mark.parametrize("jdk", [8, 17])
def test_a_class_word_that_was_hit_alone_is_not_told_as_an_overrun(jdk: int) -> None:
    """Such an object lies behind the same array; the collector's mark stands where its first word was whole."""
    report = report_of(jdk, "stray-word")
    assert all(item["marked"] for item in report["jvm"]["damaged"])
    assert "right behind" not in report["verdict"]["title"]
    assert "whether that was overwritten, too, is not known" in report["verdict"]["summary"]


@BOTH
@pytest.mark.parametrize("kind", ["interpreter", "foreign-text", "stray-receiver-miss"])
def test_a_header_without_such_an_array_before_it_is_not_told_so(jdk: int, kind: str) -> None:
    frames = report_of(jdk, kind)["threads"][0]["frames"]
    values = [value for frame in frames[:8] for value in (*frame["arguments"], *frame["locals"])]
    assert not any("right before it ends" in (value["points_to"] or "") for value in values)


@BOTH
def test_a_write_to_the_end_of_an_arena_is_a_heap_overrun(jdk: int) -> None:
    report = report_of(jdk, "stray-end")
    found = finding(report, "protected-page")
    assert (found["confidence"], found["claim"]) == ("likely", "cause")
    assert found["title"].startswith("Heap overrun: a write ran to the end of malloc's memory")
    assert found["rivals"]
    said = report["native"]["abort_message"]
    assert said is None or repr(said.strip()) in report["verdict"]["summary"]


@BOTH
def test_a_write_elsewhere_behind_an_arena_is_none(jdk: int) -> None:
    found = finding(report_of(jdk, "stray-end-miss"), "protected-page")
    assert (found["confidence"], found["claim"]) == ("possible", "observation")
    assert "overrun" not in found["title"]


@BOTH
def test_raw_memory_of_a_class_that_uses_unsafe(jdk: int) -> None:
    verdict = report_of(jdk, "stray-store")["verdict"]
    assert (verdict["rule"], verdict["confidence"]) == ("jvm-unsafe-access", "likely")
    assert "crash.Strays$Store.get() in it, whose class uses sun.misc.Unsafe" in verdict["summary"]


@BOTH
def test_a_recursion_that_an_exception_unwinds(jdk: int) -> None:
    summary = report_of(jdk, "stray-deep")["verdict"]["summary"]
    assert "calls deep in its recursion" in summary
    assert "config-reload" in summary


def test_a_shallow_thread_is_in_no_recursion() -> None:
    assert "calls deep" not in report_of(17, "kill-quit-gcore")["verdict"]["summary"]


@pytest.mark.parametrize("jdk", [21, 25])
def test_virtual_threads_that_native_code_pins(jdk: int) -> None:
    verdict = report_of(jdk, "stray-pinned")["verdict"]
    assert "below native code of libstrays.so" in verdict["title"]
    assert "synchronized" not in verdict["summary"] + " ".join(verdict["next_steps"])
    assert any("tracePinnedThreads" in step for step in verdict["next_steps"]) == (jdk == 21)


def test_virtual_threads_that_a_monitor_pins() -> None:
    verdict = report_of(21, "stall-pinned")["verdict"]
    assert "native code" not in verdict["title"]
    assert "synchronized" in verdict["next_steps"][0]


def test_a_null_at_the_limit_of_the_address_space() -> None:
    verdict = report_of(8, "stray-space")["verdict"]
    assert "address space may have (ulimit -v)" in verdict["summary"]
    assert "malloc" in verdict["next_steps"][0]


@BOTH
def test_a_null_without_such_a_limit(jdk: int) -> None:
    assert "ulimit -v" not in report_of(jdk, "jni")["verdict"]["summary"]


def test_an_uncaught_exception_without_any_file(nowhere: Path) -> None:
    report = report_of(8, "stray-thrown", nowhere)
    verdict = report["verdict"]
    assert (verdict["rule"], verdict["confidence"]) == ("uncaught-cxx-exception", "likely")
    assert "no column 7 in a row of 5" in verdict["title"]
    assert finding(report, "uncaught-cxx-exception")["rivals"]


def test_an_abort_without_any_file_is_no_exception(nowhere: Path) -> None:
    report = report_of(8, "jni-abort", nowhere)
    assert not any(item["rule"] == "uncaught-cxx-exception" for item in report["findings"])


@pytest.mark.parametrize(("jdk", "kind"), [(8, "metaspace"), (27, "metaspace"), (8, "class-space")])
def test_the_class_of_the_loaders_that_fill_metaspace(jdk: int, kind: str) -> None:
    verdict = report_of(jdk, kind)["verdict"]
    assert "class loaders of crash.Exhaust$Copies" in verdict["title"]
    assert "unknown amount" not in verdict["title"]
    assert "crash.Exhaust$Copies.copy()" in verdict["summary"]
