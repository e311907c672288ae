"""Who called the program's own way to report an error and to end, and what it was given."""

from __future__ import annotations

import pytest

from postmortem.model import Address, Frame, Value
from postmortem.model.queries import wrappers
from postmortem.model.report import FatalCall, NativeFacts
from postmortem.rules.engine import run
from postmortem.signature.signature import signature
from tests.postmortem.rules.reports import aborted, crashed, findings, frame, thread


def _stack(*functions: str) -> tuple[Frame, ...]:
    return tuple(frame(name, pc=Address(0x401000 + 16 * at)) for at, name in enumerate(functions))


def _call(at: int, *strings: str, ends: bool = False, text: str | None = None) -> FatalCall:
    """Of the frame `at`, which returns into the next."""
    return FatalCall(returns_to=Address(0x401000 + 16 * (at + 1)), strings=strings, ends=ends, text=text)


@pytest.mark.parametrize(
    ("functions", "calls", "caller", "through"),
    [
        (("die", "open_table", "main"), (), "open_table", ["die"]),
        (("panic_exit", "log_fatal", "open_table", "main"), (), "open_table", ["log_fatal", "panic_exit"]),
        (("base::CheckFailure::Die()", "base::CheckFailure::~CheckFailure()", "matmul(int)", "main"), (), "matmul(int)",
         ["base::CheckFailure::~CheckFailure()", "base::CheckFailure::Die()"]),
        (("app::FatalError(char const*)", "load()", "main"), (), "load()", ["app::FatalError(char const*)"]),
        (("check", "load", "main"), (_call(0, "size < 4"),), "load", ["check"]),
        (("exit_with", "load", "main"), (_call(0, ends=True),), "load", ["exit_with"]),
        (("leave", "log_fatal", "load", "main"), (_call(0, ends=True),), "load", ["log_fatal", "leave"]),
        (("say_goodbye", "load", "main"), (_call(0, "damaged", ends=True),), "load", ["say_goodbye"]),
        (("finish_up", "uh_oh", "load", "main"), (_call(-1, ends=True), _call(1, "quota exceeded")), "load",
         ["uh_oh", "finish_up"]),
        # What aborts does more than that; the text is a name, not a message.
        (("finish_up", "uh_oh", "load", "main"), (_call(1, "quota exceeded"),), None, []),
        (("finish_up", "parse", "load", "main"), (_call(-1, ends=True), _call(1, "settings.ini")), None, []),
        # It checks and aborts itself; it never returns, and is told no text; it is told one and returns.
        (("check_stock", "load", "main"), (), None, []),
        (("serve_for_ever", "main"), (_call(0, ends=True),), None, []),
        (("load", "main"), (_call(0, "settings.ini"),), None, []),
        (("leave", "log_fatal", "load", "main"), (), None, []),
        (("PanicRoom::enter()", "main"), (), None, []),
        (("diesel", "main"), (), None, []),
        (("die",), (), None, []),
        (("main", "__libc_start_main"), (_call(0, "x.c", ends=True),), None, []),
    ],
)  # fmt: skip
def test_wrappers_around_abort(
    functions: tuple[str, ...], calls: tuple[FatalCall, ...], caller: str | None, through: list[str]
) -> None:
    found = wrappers.reported(_stack(*functions), calls)
    if caller is None:
        assert found is None
        return
    assert found is not None
    assert (found.frame.function, [item.function for item in found.through]) == (caller, through)


@pytest.mark.parametrize(
    ("strings", "text", "said"),
    [
        (("shop.c", "cannot open %s"), "cannot open a.db", "cannot open a.db"),
        (("shop.c", "cannot open %s"), None, "cannot open %s"),
        (("left == right", "src/shop.cc", "int load(int)"), None, "left == right"),
        (("left == right", "load", "sides differ by %d"), "sides differ by 3", "left == right: sides differ by 3"),
        (("login of %s failed: %d", "bob"), "login of bob failed: 3", "login of bob failed: 3"),
        (("size % blocks == 0", "shop.c", "size is odd"), None, "size % blocks == 0: size is odd"),
        ((), "shop.c:7: Check failed: x", "shop.c:7: Check failed: x"),
        ((), None, None),
    ],
)
def test_the_message_among_what_was_given(strings: tuple[str, ...], text: str | None, said: str | None) -> None:
    found = wrappers.reported(_stack("die", "load", "main"), (_call(0, *strings, text=text),))
    assert found is not None
    assert found.said == said


def test_a_text_that_debug_information_knows() -> None:
    reason = Value(name="reason", type="const char *", value="0x4020", text='0x4020 "no \\"a\\""')
    other = Value(name="path", type="const char *", value=None, text="<optimized out>", unavailable="optimized out")
    stack = _stack("die", "load", "main")
    found = wrappers.reported((frame("die", arguments=(other, reason)), *stack[1:]))
    assert found is not None
    assert (found.texts, found.literal) == (('no "a"',), False)


def test_the_title_and_the_signature_are_of_the_caller() -> None:
    stack = _stack("raise", "abort", "log_fatal", "open_table", "main")
    native = NativeFacts(fatal_calls=(_call(2, "shop.c", "cannot open %s", text="cannot open a.db"),))
    report = run(crashed(6, -6, sender=100, threads=(thread(*stack),), native=native), strict=True)
    (finding,) = findings(report, "deliberate-abort")
    assert finding.title == "abort() called through log_fatal() in open_table(): cannot open a.db"
    assert {item.value for item in finding.evidence} >= {"open_table", "cannot open a.db"}
    assert signature(report).text == "abort: cannot open %s | open_table"
    plain = run(aborted("check_stock", "main"), strict=True)
    assert signature(plain).text == "abort | check_stock"


def test_what_a_handler_of_a_signal_calls_is_no_wrapper_of_what_it_interrupted() -> None:
    stack = (*_stack("raise", "abort", "die"), frame(None, kind="signal"), frame("load"))
    (finding,) = findings(crashed(6, -6, sender=100, threads=(thread(*stack),)), "deliberate-abort")
    assert finding.title == "abort() called in die()"
