"""Equal crashes have equal signatures, others have not."""

from __future__ import annotations

from postmortem.model import Address, Cycle
from postmortem.model.report import NativeFacts
from postmortem.rules.engine import run
from postmortem.signature.signature import signature
from tests.postmortem.rules.reports import aborted, crashed, frame, report, thread, waiting


def of(**rest: object) -> str:
    return signature(run(crashed(**{"address": 0x40, **rest}), strict=True)).id


def test_arguments_addresses_and_machinery_do_not_count() -> None:
    one = of(threads=(thread("total<int>(int)", "main"),))
    other = of(threads=(thread(frame("total<long>(long)", pc=Address(0x777)), "main", "__libc_start_main"),))
    assert one == other
    assert one != of(threads=(thread("sum", "main"),))
    assert one != of(threads=(thread("total", "main"),), address=0x48)


def test_depth_and_phase_of_a_recursion_do_not_count() -> None:
    one = thread(*["parse", "parse_list"] * 20, "main", cycles=(Cycle(start=0, period=2, count=20),))
    other = thread(*["parse_list", "parse"] * 30, "main", cycles=(Cycle(start=0, period=2, count=30),))
    assert of(threads=(one,)) == of(threads=(other,))
    assert signature(crashed(threads=(thread(*["a", "b"] * 9, "main"),))).frames == ("a", "b", "main")


def test_unresolved_frames_are_module_and_offset() -> None:
    item = crashed(threads=(thread(frame(None, module="/opt/libcart.so", module_offset=Address(0x1F30))),))
    assert signature(item).frames == ("libcart.so+0x1f30",)


def test_deadlock_does_not_depend_on_thread_order() -> None:
    one = run(report(threads=(waiting(1, 0x1000, 2), waiting(2, 0x2000, 1))))
    other = run(report(threads=(waiting(2, 0x9000, 1), waiting(1, 0x8000, 2))))
    assert signature(one) == signature(other)
    assert signature(one).frames == ("worker_1", "worker_2")


def test_text_and_id() -> None:
    item = run(aborted("total", native=NativeFacts(abort_message="shop: a.c:3: f: Assertion `n == 12' failed.")))
    found = signature(item)
    assert found.text == "assertion-failure:n == N | total"
    assert len(found.id) == 40
    assert signature(report()).text == "no signal"
