"""All threads of a core walked within the budget of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.elf.core import parse
from parsers.limits import Limits
from postmortem.budget import Budget
from postmortem.unwind.threads import unwalked_threads, walk_threads
from tests.build.core import CoreBuilder
from tests.postmortem.unwind.process import CALL, PLAIN, STACK, Process, registers, words

if TYPE_CHECKING:
    from parsers.elf.core import Core
    from postmortem.unwind.frame import Switch

F = 0x401000


def _core(threads: int) -> Core:
    builder = CoreBuilder()
    for number in range(threads):
        builder.thread(10 + number, rip=F + 5, rsp=STACK, fs_base=0x1000 * number)
    return parse(builder.memory(0x1000, b"x").bytes())


def _process() -> Process:
    """A stack of 20 frames and their end."""
    return Process().function(F, 0x100, PLAIN).code(F, CALL).stack(words(*[F + 5] * 19, 0, 1))


def test_every_thread_is_walked_the_one_of_the_signal_first() -> None:
    walks = walk_threads(_process().walker(), _core(3), Budget())
    assert [(walked.status.tid, walked.crashed, len(walked.walk.frames)) for walked in walks] == [
        (10, True, 20), (11, False, 20), (12, False, 20),
    ]  # fmt: skip


def test_frames_of_all_threads_have_a_bound_and_later_threads_their_innermost_few() -> None:
    budget = Budget(Limits(frames=45, frames_at_least=4))
    walks = walk_threads(_process().walker(), _core(4), budget)
    assert [len(walked.walk.frames) for walked in walks] == [20, 20, 5, 4]
    assert [found.name for found in budget.reached] == ["frames"]


def test_a_stack_that_is_deeper_than_one_may_be_does_not_spend_the_budget_of_others() -> None:
    budget = Budget(Limits(frames=45, frames_at_least=4))
    walks = walk_threads(_process().walker(max_frames=10), _core(4), budget)
    assert [len(walked.walk.frames) for walked in walks] == [10] * 4
    assert budget.reached == ()


def test_the_switch_is_asked_for_by_the_thread_s_own_pointer() -> None:
    asked: list[int] = []
    left = registers(rip=F + 5, rsp=STACK + 8 * 19)

    def switch(pointer: int) -> Switch | None:
        asked.append(pointer)
        return (lambda pc: left) if pointer == 0x1000 else None

    walks = walk_threads(_process().walker(), _core(2), Budget(), switch)
    assert asked == [0, 0x1000]
    assert [len(walked.walk.frames) for walked in walks] == [20, 3]


def test_threads_that_were_not_walked_have_their_first_frame() -> None:
    core = _core(2)
    walks = unwalked_threads(Process().walker(), core)
    assert [(walked.walk.ended, walked.crashed) for walked in walks] == [("limit", True), ("limit", False)]
    assert [[(frame.pc, frame.sp) for frame in walked.walk.frames] for walked in walks] == [[(F + 5, STACK)]] * 2
