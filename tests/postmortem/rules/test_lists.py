"""Names, and the lists of functions and modules that are never to blame."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from postmortem.model.queries import culprit
from postmortem.model.queries import pointers as words
from postmortem.model.queries.names import plain
from tests.postmortem.rules.reports import frame


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("main", "main"),
        ("std::vector<int, std::allocator<int> >::at(unsigned long) const", "std::vector::at"),
        ("std::ostream& operator<< <char>(std::ostream&, char)", "operator<<"),
        ("Foo::operator->() const", "Foo::operator->"),
        ("Foo::operator bool() const", "Foo::operator bool"),
        ("operator new[](unsigned long)", "operator new[]"),
        ("a::{lambda(int)#1}::operator()(int) const", "a::{lambda}::operator()"),
        ("(anonymous namespace)::parse(char const*)", "(anonymous namespace)::parse"),
        ("int total<int>(int&) [clone .cold]", "total"),
        ("total.part.0", "total"),
        ("malloc@@GLIBC_2.2.5", "malloc"),
        ("__memmove_avx_unaligned_erms", "memmove"),
        ("core::option::unwrap_failed::h0123456789abcdef", "core::option::unwrap_failed"),
        ("<T as core::fmt::Debug>::fmt", "core::fmt::Debug::fmt"),
        ("std::alloc::rust_oom::{closure#0}", "std::alloc::rust_oom::{closure}"),
        ("shop::main::{{closure}}::h0123456789abcdef", "shop::main::{closure}"),
        ("main.(*order).item", "main.order.item"),
        ("unbalanced<((", "unbalanced"),
    ],
)
def test_plain(function: str, expected: str) -> None:
    assert plain(function) == expected


def test_plain_is_bounded() -> None:
    assert len(plain("a<" * 100_000)) <= 8192


@pytest.mark.parametrize(
    "function",
    [
        "abort",
        "raise",
        "__pthread_kill_implementation",
        "__assert_fail",
        "malloc",
        "_int_free",
        "__libc_calloc",
        "unlink_chunk.isra.0",
        "__strcpy_chk",
        "memcpy",
        "__strlen_avx2",
        "strncasecmp",
        "std::terminate",
        "__cxa_throw",
        "_Unwind_RaiseException",
        "__stack_chk_fail",
        "__lll_lock_wait",
        "pthread_mutex_lock",
        "std::mutex::lock",
        "poll",
        "_start",
        "__libc_start_call_main",
        "clone3",
        "start_thread",
        "__asan_report_load8",
        "core::panicking::panic_fmt",
        "rust_begin_unwind",
        "runtime.gopanic",
        "je_malloc",
        "JNIEnv_::CallIntMethod(_jobject*, _jmethodID*, ...)",
        "_JavaVM::AttachCurrentThread",
        "__addvsi3",
        "RAW_LOG(int, char const*, ...)",
        "g_log",
        "g_logv",
        "g_log_default_handler",
        "g_log_structured_array",
        "g_assertion_message_cmpnum",
        "std::__replacement_assert",
        "std::alloc::rust_oom::{closure#0}",
        "__rustc::__rust_alloc_error_handler",
    ],
)
def test_machinery(function: str) -> None:
    assert culprit.skipped_function(function)


@pytest.mark.parametrize(
    "function",
    [
        "main",
        "strategy",
        "memory_pool",
        "string_table",
        "Cart::total",
        "my_abort",
        "free_cart",
        "raise_price",
        "read_config",
        "Foo::malloc",
        "tc_lookup",
        "stream",
        "std::vector::at",
        "lock_account",
        "JNIEnvironment::lookup",
        "g_logger_new",
        "g_hash_table_lookup",
    ],
)
def test_not_machinery(function: str) -> None:
    assert not culprit.skipped_function(function)


def test_modules() -> None:
    assert culprit.skipped_module("/lib/x86_64-linux-gnu/libc.so.6")
    assert culprit.skipped_module("/usr/lib/libstdc++.so.6.0.30 (deleted)")
    assert not culprit.skipped_module("/opt/libcart.so")
    assert not culprit.skipped_module("/opt/libcalc.so.6")


def test_lists_compile_and_have_no_duplicates() -> None:
    for name in ("skip_functions.txt", "skip_modules.txt"):
        text = resources.files("postmortem.model.queries").joinpath("lists", name).read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert len(lines) == len(set(lines))
        for line in lines:
            re.compile(line)


def test_culprit_prefers_trusted_frames() -> None:
    frames = (frame("abort"), frame("guess", trust="scan"), frame("total", file="/src/cart.cpp", line=42))
    found = culprit.first(frames)
    assert found is not None
    assert culprit.label(found[1]) == "total(), cart.cpp:42"
    assert culprit.first(frames[:2]) is None, "a scanned word names nobody"
    assert culprit.first(frames[:1]) is None


def test_words() -> None:
    assert words.as_text(int.from_bytes(b"_kepler\0", "little")) == "_kepler"
    assert words.as_float(0x40934A0000000000) == 1234.5
    assert words.poison(0xDEADBEEFDEADBEEF + 8) is not None
    assert words.poison(0x5A5A5A5A5A5A5A5A) is not None
    for innocent in (0, 0x5A, 0x555555559000, 0x7FFFFFFDE000, 0xFFFF888000000000, 0x13370000):
        assert words.poison(innocent) is None
        assert words.as_text(innocent) is None
