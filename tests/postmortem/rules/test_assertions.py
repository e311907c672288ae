"""Whose assertion it is, and whom the finding names."""

from __future__ import annotations

import pytest

from postmortem.model.report import NativeFacts
from postmortem.rules.fault.assertion_failure import RULE
from tests.postmortem.rules.reports import aborted, frame

LIBSTDCXX = "std::__glibcxx_assert_fail(char const*, int, char const*, char const*)"


def _libc(text: str) -> NativeFacts:
    return NativeFacts(abort_message=text)


def _runtime(runtime: str, text: str) -> NativeFacts:
    return NativeFacts(runtime=runtime, runtime_message=text)


@pytest.mark.parametrize(
    ("stack", "native", "title"),
    [
        (
            ("__assert_fail", "Cart::total"),
            _libc("shop: cart.cpp:42: int Cart::total(): Assertion `sum >= 0' failed."),
            "Assertion failed in int Cart::total(), cart.cpp:42: sum >= 0",
        ),
        (
            ("__assert_fail", "pthread_mutex_lock", "enter"),
            _libc("shop: pthread_mutex_lock.c:94: ___pthread_mutex_lock: Assertion `mutex->owner == 0' failed."),
            "libc found a mutex damaged or misused in enter(): mutex->owner == 0",
        ),
        (
            ("pthread_mutex_lock", "enter"),
            _libc(
                "Fatal glibc error: pthread_mutex_lock.c:88 (pthread_mutex_lock): assertion failed: mutex->owner == 0\n"
            ),
            "libc found a mutex damaged or misused in enter(): mutex->owner == 0",
        ),
        (
            ("__assert_fail", "take"),
            _libc("shop: mutex_pool.c:4: take: Assertion `free > 0' failed."),
            "Assertion failed in take, mutex_pool.c:4: free > 0",
        ),
        (
            (LIBSTDCXX, "std::vector<int>::operator[](unsigned long)", "pick(int)", "main"),
            _runtime(
                "libstdc++",
                "/usr/include/c++/12/bits/stl_vector.h:1123: std::vector<_Tp, _Alloc>::reference std::vector<_Tp,"
                " _Alloc>::operator[](size_type) [with _Tp = int; size_type = long unsigned int]: Assertion"
                " '__n < this->size()' failed.",
            ),
            "Assertion failed in pick(): std::vector::operator[]() requires __n < this->size()",
        ),
        (
            ("g_assertion_message_cmpnum", "load"),
            _runtime("GLib", "ERROR:src/a.c:2:load: assertion failed (n > 5): (3 > 5)"),
            "Assertion failed in load, a.c:2: n > 5 (3 > 5)",
        ),
        (
            ("g_assertion_message", "g_assertion_message_expr", "load"),
            _runtime("GLib", "Shop:ERROR:a.c:2:load: assertion failed: (ready)"),
            "Assertion failed in load, a.c:2: ready",
        ),
        (
            ("g_assertion_message", "g_assertion_message_expr", "load"),
            _runtime("GLib", "ERROR:a.c:2:load: code should not be reached"),
            "Assertion failed in load, a.c:2: code should not be reached",
        ),
        ((LIBSTDCXX, frame("pick()", file="/src/a.cc", line=3)), NativeFacts(), "Assertion failed in pick(), a.cc:3"),
    ],
)
def test_title(stack: tuple[str, ...], native: NativeFacts, title: str) -> None:
    (finding,) = RULE.check(aborted(*stack, native=native))
    assert finding.title == title
