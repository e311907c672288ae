"""What a native library did to the JVM or to malloc, told in words that claim no more than the core shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.postmortem.jvm import check, corpus

pytestmark = pytest.mark.jdk
BOTH = pytest.mark.parametrize("jdk", [8, 25])


def verdict(jdk: int, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = check.report_of(corpus.case(jdk, kind))["verdict"]
    return found


@BOTH
@pytest.mark.parametrize("kind", ["misuse-interior", "misuse-unsafe-interior"])
def test_a_free_of_what_is_no_block_is_not_told_as_an_overrun(jdk: int, kind: str) -> None:
    report = check.report_of(corpus.case(jdk, kind))
    found = next(item for item in report["findings"] if item["rule"] == "heap-corruption")
    assert found["claim"] == "observation"
    assert any("not the start of a block" in rival for rival in found["rivals"])
    caller = "crash.Misuse.main()" if "unsafe" in kind else "Java_crash_Misuse_giveBack()"
    assert caller in found["title"]


def test_a_block_that_is_freed_twice_is_a_cause() -> None:
    """tcache keeps a list of what is free: no other explanation is left."""
    report = check.report_of(corpus.case(17, "jni-double-free"))
    found = next(item for item in report["findings"] if item["rule"] == "heap-corruption")
    said = "double free detected" in found["title"]
    assert found["claim"] == ("cause" if said else "observation")


@BOTH
def test_a_call_through_text_names_the_target(jdk: int) -> None:
    assert "called 0x53454d414e444142" in verdict(jdk, "misuse-record")["summary"]


@BOTH
def test_a_return_address_that_was_overwritten_is_no_longjmp(jdk: int) -> None:
    """The kernel's frame of the signal looks like a jmp_buf of musl."""
    found = {item["rule"] for item in check.report_of(corpus.case(jdk, "foreign-return"))["findings"]}
    assert "ended-frame" not in found


@BOTH
def test_a_null_check_without_the_handler_of_the_vm(jdk: int) -> None:
    found = verdict(jdk, "misuse-reset")
    assert "did not run" in found["title"]
    assert found["confidence"] == "certain"
    assert "NullPointerException" in found["summary"]


@pytest.mark.parametrize(("kind", "function"), [("jni-fatal", "jni_FatalError"), ("jni-badref", "jni_GetObjectClass")])
def test_jni_functions_have_names_in_a_libjvm_without_symbols(kind: str, function: str) -> None:
    """Debian's libjvm of JDK 8 is stripped; the table that every JNIEnv points at is not."""
    report = check.report_of(corpus.case(8, kind))
    frames = report["threads"][0]["frames"]
    library = next(number for number, frame in enumerate(frames) if "libcrash.so" in (frame["module"] or ""))
    assert frames[library - 1]["function"] == function


@BOTH
def test_a_lock_of_a_thread_that_ended_without_detaching(jdk: int) -> None:
    found = verdict(jdk, "misuse-leave")
    assert "whose thread is no longer in the process" in found["title"]
    assert '"drain-' in found["title"]


def test_a_local_array_larger_than_the_stack_of_a_native_thread() -> None:
    found = verdict(8, "misuse-array")
    assert "outline(), misuse.c" in found["title"]
    assert "takes 900 KiB on a stack of 1" in found["title"]


@BOTH
def test_what_the_address_was_refused_for_is_in_the_verdict(jdk: int) -> None:
    assert "Write to read-only data of libmisuse.so" in verdict(jdk, "misuse-literal")["summary"]
    assert "read-only" not in verdict(jdk, "misuse-record")["summary"]


@BOTH
def test_a_handle_that_went_through_an_int(jdk: int) -> None:
    assert "without its upper 32 bits" in verdict(jdk, "slip-handle")["title"]
    assert "malloc arena" in verdict(jdk, "slip-handle")["summary"]


@BOTH
@pytest.mark.parametrize(
    ("kind", "pending"), [("slip-method", "NoSuchMethodError: onClosed"), ("slip-class", "NoClassDefFoundError")]
)
def test_a_lookup_that_failed_before_a_null_argument(jdk: int, kind: str, pending: str) -> None:
    found = verdict(jdk, kind)
    assert "a NULL argument, with java.lang." in found["title"]
    assert f"java.lang.{pending}" in found["summary"]
    assert "pending" not in verdict(jdk, "jni-badref")["summary"]


@pytest.mark.parametrize("jdk", [25, 27])
def test_a_callback_whose_stub_was_freed(jdk: int) -> None:
    assert "an upcall stub that was freed, by qsort" in verdict(jdk, "slip-stub")["title"]


def test_a_fault_of_the_native_function_beside_a_stub_in_use() -> None:
    found = verdict(25, "slip-stub-open")
    assert "freed" not in found["title"] and "called through java.lang.foreign" in found["title"]


def test_functions_of_the_javavm_have_names_in_a_libjvm_without_symbols() -> None:
    report = check.report_of(corpus.case(8, "stall-attached"))
    thread = next(item for item in report["threads"] if item["java"] and item["java"]["name"] == "DestroyJavaVM")
    names = [frame["function"] for frame in thread["frames"] if "libjvm.so" in (frame["module"] or "")]
    assert names[-1] == "jni_DestroyJavaVM" and not any(names[:-1])
    with_symbols = check.report_of(corpus.case(17, "stall-attached"))
    assert any(
        frame["function"] == "Threads::destroy_vm()" for item in with_symbols["threads"] for frame in item["frames"]
    )
