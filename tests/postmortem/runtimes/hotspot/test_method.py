"""Line number tables and UNSIGNED5, against an encoder of our own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postmortem.runtimes.hotspot.code.method import line_table, read_unsigned5


def unsigned5(value: int, excluded: int) -> bytes:
    """As the VM writes it (share/utilities/unsigned5.hpp)."""
    out = []
    for _ in range(4):
        if value < 192 - excluded:
            break
        value -= 192 - excluded
        out.append(192 + (value & 63))
        value >>= 6
    return bytes([*out, value + excluded])


def compressed(pairs: list[tuple[int, int]], excluded: int) -> bytes:
    """A compressed line number table."""
    out, bci, line = b"", 0, 0
    for next_bci, next_line in pairs:
        step, move = next_bci - bci, next_line - line
        if 0 <= step < 32 and 0 <= move < 8 and (step or move) and step << 3 | move != 0xFF:
            out += bytes([step << 3 | move])
        else:
            signed = [(value << 1) ^ (value >> 31) for value in (step, move)]
            out += b"\xff" + b"".join(unsigned5(value & 0xFFFFFFFF, excluded) for value in signed)
        bci, line = next_bci, next_line
    return out + b"\0"


tables = st.lists(st.tuples(st.integers(0, 65535), st.integers(1, 65535)), max_size=40, unique_by=lambda pair: pair[0])


@given(tables, st.sampled_from([0, 1]))
def test_line_tables_round_trip(pairs: list[tuple[int, int]], excluded: int) -> None:
    assert line_table(compressed(pairs, excluded), excluded) == (
        [bci for bci, _ in sorted(pairs)],
        [line for _, line in sorted(pairs)],
    )


@given(st.binary(max_size=200), st.sampled_from([0, 1]))
def test_any_bytes_are_a_table(data: bytes, excluded: int) -> None:
    bcis, lines = line_table(data, excluded)
    assert len(bcis) == len(lines) <= len(data)
    assert bcis == sorted(bcis)


@given(st.integers(0, 2**31), st.sampled_from([0, 1]), st.binary(max_size=4))
def test_unsigned5_round_trips(value: int, excluded: int, rest: bytes) -> None:
    data = unsigned5(value, excluded)
    assert read_unsigned5(data + rest, 0, excluded) == (value, len(data))


def test_unsigned5_beyond_the_end() -> None:
    assert read_unsigned5(b"", 0, 1) == (0, 0)
    assert read_unsigned5(b"\xff\xff", 0, 1)[1] == 2
