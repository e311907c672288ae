"""Where a JavaThread counts its critical sections, by the code of the functions that count."""

from __future__ import annotations

import pytest

from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.hotspot.x86_64 import critical

ENTER, LEAVE = 0x10000, 0x20000
LOAD, STORE = "8b83{}", "8983{}"  # mov eax, [rbx + …]; mov [rbx + …], eax
AT, ELSEWHERE = "2c030000", "38030000"  # 0x32c, 0x338


def code(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts) + "c3")


COUNTS = code(LOAD.format(ELSEWHERE), LOAD.format(AT), "83c001", STORE.format(AT))


@pytest.mark.parametrize(
    ("leave", "found"),
    [
        (code(LOAD.format(AT), "83e801", STORE.format(AT)), 0x32C),
        (code(LOAD.format(ELSEWHERE), STORE.format(ELSEWHERE)), None),
        (code(LOAD.format(AT)), None),  # only asked for
        (code(STORE.format(AT)), None),  # only set
        (code("c3", LOAD.format(AT), STORE.format(AT)), None),  # of the next function
        (b"", None),
    ],
)
def test_the_word_that_both_count_in(leave: bytes, found: int | None) -> None:
    pieces = [Piece(ENTER, ENTER + len(COUNTS), COUNTS, 0)]
    if leave:
        pieces.append(Piece(LEAVE, LEAVE + len(leave), leave, 0))
    assert critical.offset(AddressSpace(pieces), ENTER, LEAVE) == found
