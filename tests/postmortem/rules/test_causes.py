"""What a finding says of how it came to the crash: the other explanation beside each."""

from __future__ import annotations

from typing import Any

import msgspec

from postmortem.model import Address, Finding
from postmortem.model.report import CxxException, NativeFacts, RustPanic
from tests.postmortem.rules.reports import HEAP, PID, aborted, crashed, findings, frame, thread


def _thrown(*kinds: CxxException) -> tuple[Finding, ...]:
    stack = ("abort", "std::terminate()", "__cxa_throw", "Tx::rollback()", "Tx::~Tx()", "import_rows()", "main")
    return findings(aborted(*stack, native=NativeFacts(exceptions=kinds)), "uncaught-cxx-exception")


def _cxx(type_: str, **rest: Any) -> CxxException:
    return CxxException(type=type_, what="why", address=Address(HEAP + 16 * len(type_)), **rest)


def test_what_was_unwound_when_another_exception_was_thrown() -> None:
    first = _cxx("First", unwound=True)
    second = _cxx("Second", tid=PID, depth=0, handler_count=1, uncaught=1)
    told = _thrown(first, second)[0]
    assert told.title.endswith("rollback(), thrown while First: why was unwound")
    assert "No handler" not in told.explanation and "Tx::~Tx() is on the stack" in told.explanation
    # Two that may be it, or none: it is not named.
    unknown = _thrown(first, _cxx("Kept", unwound=True), second)[0]
    assert "thrown while another exception was unwound" in unknown.title
    # The thread was unwinding no other: the one in memory is only kept.
    kept = _thrown(first, msgspec.structs.replace(second, uncaught=0))[0]
    assert "First" not in kept.title and "No handler was found up to the bottom" in kept.explanation
    # Not known how many: neither is claimed.
    open_ = _thrown(first, msgspec.structs.replace(second, uncaught=None))[0]
    assert "First" not in open_.title and "or a destructor that ran for another exception" in open_.explanation


def _panicked(boundary: str, *taken_at: int) -> Finding:
    panics = tuple(RustPanic(address=Address(HEAP), taken_at=Address(at), text=f"text {at:#x}") for at in taken_at)
    frames = (
        frame("core::panicking::panic_nounwind", sp=Address(0x1000)),
        frame(f"core::panicking::{boundary}", sp=Address(0x1100)),
        frame("shop::apply", sp=Address(0x1200)),
        frame("shop::main", sp=Address(0x1300)),
    )
    native = NativeFacts(runtime="Rust", runtime_message="panicked at x.rs:1:1: in cleanup", panics=panics)
    return findings(crashed(6, -6, sender=PID, threads=(thread(*frames),), native=native), "rust-panic")[0]


def test_the_frame_that_takes_a_panic_tells_which_came_first() -> None:
    both = _panicked("panic_in_cleanup", 0x1300, 0x1200)
    assert (
        both.title
        == "Rust panic: text 0x1300; while it was unwound in shop::apply(), a destructor panicked: text 0x1200"
    )
    assert "abort on that" not in both.explanation
    first = _panicked("panic_in_cleanup", 0x1300)
    assert first.title == "Rust panic: text 0x1300; while it was unwound in shop::apply(), a destructor panicked"
    assert "in cleanup" not in first.title
    into_c = _panicked("panic_cannot_unwind", 0x1300, 0x1200)
    assert into_c.title == "Rust panic: text 0x1200, stopped in shop::apply(), which cannot unwind"
