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
        ("<shop::Cart as core::ops::drop::Drop>::drop", "shop::Cart::drop"),
        ("<&mut shop[1a2b]::Cart<fn() -> u8> as core[3c]::fmt::Debug>::fmt::{{closure}}", "shop::Cart::fmt::{closure}"),
        ("<alloc::vec::Vec<T> as core::ops::Index<usize>>::index", "core::ops::Index::index"),
        ("<u32 as shop::Priced>::price", "shop::Priced::price"),
        ("<shop::Cart as core::ops::drop::Drop", "core::ops::drop::Drop"),
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
        "__pthread_clockjoin_ex",
        "__new_sem_wait_slow64.constprop.0",
        "futex_wait",
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
    for name in ("skip_functions.txt", "c_library_functions.txt", "skip_modules.txt"):
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


def test_a_function_is_not_taken_for_the_c_library_s_by_its_name() -> None:
    own = frame("send_reply", file="/src/shop.c", line=7)
    assert culprit.first((frame("strlen"), own, frame("serve"))) == (1, own)
    for stands_in in (frame("read", file="/src/shop.c", line=3), frame("strdup", module="/opt/libfast.so.1")):
        assert culprit.first((stands_in, frame("main"))) == (0, stands_in)
    for linked_in in (
        frame("strlen"),
        frame("strlen", file="./string/strlen.c"),
        frame("read", file="/usr/include/x86_64-linux-gnu/bits/unistd.h"),
        frame("strdup", module="/lib/libc.so.6"),
    ):
        assert culprit.first((linked_in, frame("main"))) == (1, frame("main"))


def test_a_header_s_function_is_named_only_where_nothing_else_is() -> None:
    header = frame("std::vector<int>::at(unsigned long)", file="/usr/include/c++/12/bits/stl_vector.h", line=9)
    own = frame("total", file="/src/shop.cpp", line=3)
    assert culprit.first((header, own)) == (1, own)
    assert culprit.first((header, frame("guess", trust="scan"))) == (0, header)
    rust = frame(
        "core::ptr::read_volatile", file="/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/ptr/mod.rs"
    )
    intrinsic = frame("_mm_mul_ps", file="/usr/lib/gcc/x86_64-linux-gnu/12/include/xmmintrin.h")
    assert culprit.first((rust, intrinsic, own)) == (2, own)
    # Rust names the file of what was inlined last for a function's own instructions.
    fill = frame(
        "app::fill", file="/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/std/src/thread/lifecycle.rs"
    )
    assert culprit.first((fill, own)) == (0, fill)
    assert culprit.label(fill) == "app::fill()"
    near = frame("total", file="/src/usr/include/total.h")
    assert culprit.first((near, own)) == (0, near)


def test_what_left_by_a_tail_call_is_named() -> None:
    caller = frame("main", file="/src/shop.c", line=9, tail_call="release")
    found = culprit.first((frame("free"), caller))
    assert found is not None
    assert (found[0], culprit.label(found[1])) == (1, "release()")
    passed_on = frame("main", tail_call="pthread_kill")
    assert culprit.first((frame("raise"), passed_on)) == (1, passed_on)


def test_words() -> None:
    assert words.as_text(int.from_bytes(b"_kepler\0", "little")) == "_kepler"
    assert words.as_float(0x40934A0000000000) == 1234.5
    assert words.poison(0xDEADBEEFDEADBEEF + 8) is not None
    assert words.poison(0x5A5A5A5A5A5A5A5A) is not None
    for innocent in (0, 0x5A, 0x555555559000, 0x7FFFFFFDE000, 0xFFFF888000000000, 0x13370000):
        assert words.poison(innocent) is None
        assert words.as_text(innocent) is None
