"""Whether a loop of compiled code polls: small pieces of machine code as C1 and C2 write them."""

from __future__ import annotations

import pytest

from postmortem.runtimes.hotspot.x86_64.loops import polled

START = 0x7F0000001000
ADD = b"\x48\x01\xc8"  # add rax, rcx
POLL = b"\x85\x05\x00\x01\x00\x00"  # test dword ptr [rip + 0x100], eax
THREAD = b"\x49\x3b\x67\x28"  # cmp rsp, qword ptr [r15 + 0x28]
CALL = b"\xe8\x00\x01\x00\x00"


def loop(*body: bytes) -> bytes:
    code = b"".join(body)
    return code + b"\x75" + bytes([(-len(code) - 2) & 0xFF]) + b"\xc3"


@pytest.mark.parametrize(
    ("body", "expected"), [((ADD,), False), ((ADD, POLL), True), ((ADD, THREAD), True), ((ADD, CALL), True)]
)
def test_a_loop(body: tuple[bytes, ...], expected: bool) -> None:
    assert polled(loop(*body), START, START, strip_mined=False) is expected


def test_code_without_a_loop() -> None:
    assert polled(ADD + POLL + b"\xc3", START, START, strip_mined=False) is None


def test_the_loop_around_counts_where_it_is_there_to_poll() -> None:
    inner = ADD + b"\x75\xfb"
    code = loop(inner, POLL)
    assert polled(code, START, START, strip_mined=False) is False
    assert polled(code, START, START, strip_mined=True) is True
