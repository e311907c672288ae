"""The polling page of JDK 8, by the code that reads it."""

from __future__ import annotations

import struct

from postmortem.runtimes.hotspot.x86_64 import pollingpage

PAGE = 0x7F0000005000


def method(start: int, *targets: int) -> tuple[bytes, int]:
    """Code that tests each target's word, as before a return: test [rip + …], eax; ret."""
    code = b"\x90" * 8
    for target in targets:
        code += b"\x85\x05" + struct.pack("<i", target - (start + len(code) + 6)) + b"\xc3"
    return code, start


def test_two_methods_that_poll_one_page_tell() -> None:
    plain = (b"\x90" * 32, 0x7F0000000000)
    assert pollingpage.page([plain, method(0x7F0000001000, PAGE, PAGE), method(0x7F0000002000, PAGE)]) == PAGE


def test_one_method_may_test_a_word_by_chance() -> None:
    assert pollingpage.page([method(0x7F0000001000, PAGE)]) is None
    assert pollingpage.page([method(0x7F0000001000, PAGE), method(0x7F0000002000, PAGE + 0x1000)]) is None


def test_what_is_no_page_or_not_alone_is_passed_by() -> None:
    ways = [method(0x7F0000001000, PAGE + 8), method(0x7F0000001800, PAGE, PAGE + 0x1000)]
    assert pollingpage.page([*ways, method(0x7F0000002000, PAGE), method(0x7F0000003000, PAGE)]) == PAGE
    assert pollingpage.page(ways) is None
