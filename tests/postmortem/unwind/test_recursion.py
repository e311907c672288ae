"""Turns of deep recursions left out of walks: what stays is described by what was there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from parsers.limits import LIMITS
from postmortem.unwind.frame import LeftOut, RawFrame, SignalFrame, VirtualFrame, Walk
from postmortem.unwind.recursion import without_turns

KEPT = LIMITS.recursion_frames


def frames(pcs: list[int], virtual: tuple[VirtualFrame, ...] = ()) -> list[RawFrame]:
    return [RawFrame(pc, 16 * index, None, "native", "cfi", False, virtual) for index, pc in enumerate(pcs)]


def walk(pcs: list[int], signals: tuple[int, ...] = ()) -> Walk:
    return Walk(frames(pcs), "bottom", None, [SignalFrame(position, 0, 0, []) for position in signals])


@given(
    st.lists(st.integers(100, 120), max_size=60),
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.integers(0, 12_000),
    st.lists(st.integers(100, 120), max_size=60),
)
def test_what_was_left_out_put_back_is_the_stack(head: list[int], turn: list[int], turns: int, tail: list[int]) -> None:
    pcs = head + turn * min(turns, 12_000 // len(turn)) + tail
    whole = walk(pcs)
    made = without_turns(whole)
    if made.left_out is None:
        assert made is whole and len(pcs) < 2 * KEPT + 300 + 2 * (len(head) + len(tail))
        return
    position, period, repeated = made.left_out
    assert 2 * KEPT <= len(made.frames) <= 2 * KEPT + len(head) + len(tail) + 2 * period
    left = [frame.pc for frame in made.frames]
    assert left[:position] + left[position - period : position] * repeated + left[position:] == pcs
    assert made.frames[0] == whole.frames[0] and made.frames[-1] == whole.frames[-1]


def test_a_stack_that_does_not_repeat_stays() -> None:
    whole = walk(list(range(20_000)))
    assert without_turns(whole) is whole


def test_frames_of_an_interpreter_repeat_only_with_their_methods() -> None:
    one, other = (VirtualFrame("a.b", None, line) for line in (1, 2))
    whole = Walk(frames([7] * 9999, (one,)) + frames([7] * 9999, (other,)), "bottom", None, [])
    made = without_turns(whole)
    assert made.left_out is not None
    kept = [frame.virtual for frame in made.frames]
    assert kept.count((one,)) + made.left_out.turns == 9999 and kept.count((other,)) == 9999


def test_a_signal_frame_keeps_its_place_or_the_stack_stays() -> None:
    made = without_turns(walk([1] * 3 + [9] + [2] * 10_000 + [9, 3], signals=(3, 10_004)))
    assert made.left_out == LeftOut(KEPT, 1, 10_006 - 2 * KEPT)
    assert [made.frames[signal.position].pc for signal in made.signal_frames] == [9, 9]
    amid = walk([2] * 10_000, signals=(5000,))
    assert without_turns(amid) is amid
