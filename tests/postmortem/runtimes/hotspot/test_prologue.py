"""Where the return address is while compiled code builds or leaves its frame."""

from __future__ import annotations

import pytest

from postmortem.runtimes.hotspot.code.codecache import Blob
from postmortem.runtimes.hotspot.x86_64.prologue import FrameState, frame_state
from tests.postmortem.runtimes.hotspot.state.vm import FakeVm

C1 = (
    ("mov [rsp-0x16000], eax", "89842400a0feff"),
    ("push rbp", "55"),
    ("sub rsp, 0x30", "4883ec30"),
    ("mov rax, [rsi]", "488b06"),
    ("add rsp, 0x30", "4883c430"),
    ("pop rbp", "5d"),
    ("cmp rsp, [r15+0x20]", "493b6720"),
    ("ja poll", "0f8700010000"),
    ("ret", "c3"),
)
C2 = (
    ("sub rsp, 0x18", "4881ec18000000"),
    ("mov [rsp+0x10], rbp", "48896c2410"),
    ("mov rax, [rsi]", "488b06"),
    ("add rsp, 0x10", "4883c410"),
    ("pop rbp", "5d"),
    ("ret", "c3"),
)


def state(code: tuple[tuple[str, str], ...], at: int, frame_size: int, complete: int) -> FrameState | None:
    """The state before instruction `at`; `complete`: index of the first with a whole frame."""
    vm = FakeVm()
    parts = [bytes.fromhex(text) for _, text in code]
    begin = vm.room(256)
    vm.put(begin, f"{sum(map(len, parts))}s", b"".join(parts))
    starts = [begin + sum(len(part) for part in parts[:index]) for index in range(len(parts))]
    blob = Blob(begin - 64, "nmethod", "nmethod", begin, begin + 256, frame_size, starts[complete])
    return frame_state(vm.reading(), blob, begin, starts[at])


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (0, FrameState(0, None)),
        (1, FrameState(0, None)),
        (2, FrameState(8, 0)),
        (3, None),
        (4, FrameState(0x38, 0x30)),
        (5, FrameState(8, 0)),
        (6, FrameState(0, None)),
        (7, FrameState(0, None)),
        (8, FrameState(0, None)),
    ],
)
def test_frame_with_push(at: int, expected: FrameState | None) -> None:
    assert state(C1, at, 0x40, 3) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (0, FrameState(0, None)),
        (1, FrameState(0x18, None)),
        (2, None),
        (3, FrameState(0x18, 0x10)),
        (5, FrameState(0, None)),
    ],
)
def test_frame_that_stores_rbp(at: int, expected: FrameState | None) -> None:
    assert state(C2, at, 0x20, 2) == expected
