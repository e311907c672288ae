"""What is one bucket, and what is not."""

from __future__ import annotations

import random

from postmortem.model.triage import Crash, Step
from postmortem.triage.buckets import groups
from tests.postmortem.triage.crashes import crash


def together(*crashes: Crash) -> bool:
    found = groups(crashes)
    for _ in range(5):
        assert len(groups(random.sample(crashes, len(crashes)))) == len(found), "the order does not matter"
    return len(found) == 1


def test_equal_signatures_are_one_bucket_and_others_are_not() -> None:
    assert together(crash(number=1), crash(number=2))
    assert not together(crash("null+0x40"), crash("null+0x48"))
    assert not together(crash("null+0x40", "a", "b"), crash("null+0x40", "b", "c"))


def test_the_same_build_and_offsets_count_where_symbols_are_missing() -> None:
    whole, stripped = crash(exact="e1"), crash("null+0x40", "shop+0x1f30", exact="e1", incomplete="no symbols")
    assert together(whole, stripped)
    assert not together(whole, crash("null+0x40", "shop+0x1f30", exact="e2", incomplete="no symbols"))
    assert not together(whole, crash("bad address", exact="e1")), "one site may fail in two ways"


def test_an_inlined_function_is_proved_by_the_line_that_called_it() -> None:
    main = Step(name="main", file="shop.c", line=22)
    apart = crash("null+0x40", Step(name="balance_of", file="shop.c", line=16), main)
    assert together(apart, crash("null+0x40", main))
    assert not together(apart, crash("null+0x40", Step(name="main", file="shop.c", line=23)))
    assert not together(apart, crash("null+0x48", main))


def test_what_could_be_either_of_two_is_neither() -> None:
    main = Step(name="main", file="shop.c", line=22)
    one, two = (crash("null+0x0", Step(name=name, file="shop.c", line=3), main) for name in ("first", "second"))
    assert len(groups([one, two, crash("null+0x0", main)])) == 3


def test_a_log_lacks_inner_functions() -> None:
    core = crash("oom: java heap", "Session.<init>", "remember", "heap", "main")
    assert together(core, crash("oom: java heap", "remember", "heap", "main", kind="log"))
    lined = [Step(name=name, file="Shop.java", line=1) for name in ("remember", "heap", "main")]
    assert not together(core, crash("oom: java heap", *lined)), "a core with debug information would have it"
    assert not together(core, crash("oom: java heap", "remember", "heap", "main", kind="log", program="other"))


def test_a_nameless_innermost_function_is_known_by_its_callers() -> None:
    whole = crash("null+0x8", "entry_balance", "ledger_sum", "main")
    assert together(whole, crash("null+0x8", "libledger.so+0x1105", "ledger_sum", "main", incomplete="no symbols"))
    assert not together(whole, crash("null+0x8", "libledger.so+0x1105", "refund", "main", incomplete="no symbols"))
