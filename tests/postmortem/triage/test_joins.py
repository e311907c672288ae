"""What is one bucket does not depend on the order in which crashes came, nor on the number of runs."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import sqlalchemy as sa
from hypothesis import given, settings

from postmortem.model.triage import Crash, Step
from postmortem.triage import curate, store
from postmortem.triage.buckets import assign, groups
from postmortem.triage.compare import compare
from postmortem.triage.joins import sets
from tests.postmortem.triage.crashes import crash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from postmortem.triage.store import Store

NAMES = ("hash", "slot", "find", "get", "load", "run")
CAUSES = ("null+0x8", "null+index", "abort: no cart", "abort: no cart of ann", "abort", "throw: E: bad N")


@st.composite
def crashes(draw: st.DrawFn) -> Crash:
    """Of few programs and functions, so that many of them could be the same: with and without lines, inlined, cut."""
    depth = draw(st.integers(0, 3))
    names = NAMES[depth : depth + draw(st.integers(1, 4))]
    lined = draw(st.booleans())
    steps = [Step(name=name, file="a.c" if lined else None, line=len(name) if lined else None) for name in names]
    dropped = draw(st.integers(0, len(steps) - 1))
    if len(steps) > 1 and draw(st.booleans()):
        del steps[dropped]
    if draw(st.booleans()):
        steps.append(Step(name="main", file="a.c" if lined else None, line=99 if lined else None))
    return crash(
        draw(st.sampled_from(CAUSES)), *steps,
        kind=draw(st.sampled_from(("core", "core", "log"))), number=draw(st.integers(0, 3)),
        exact=draw(st.sampled_from((None, None, "e1", "e2"))), incomplete=draw(st.sampled_from((None, "no symbols"))),
    )  # fmt: skip


def partition(found: Sequence[tuple[str, str]]) -> dict[str, set[str]]:
    """Bucket → crashes."""
    result: dict[str, set[str]] = {}
    for identity, bucket in found:
        result.setdefault(bucket, set()).add(identity)
    return result


def take(opened: Store, run: str, *items: Crash) -> dict[str, set[str]]:
    """The buckets after one more run."""
    opened.add(run, items, [])
    opened.transaction(lambda connection: assign(connection, run))
    rows = opened.transaction(
        lambda c: list(
            c.execute(sa.select(store.inputs.c.id, store.inputs.c.bucket).where(store.inputs.c.state == "analyzed"))
        )
    )
    return partition([(row[0], row[1]) for row in rows])


@settings(max_examples=30)
@given(st.lists(crashes(), min_size=2, max_size=14, unique_by=lambda item: item.id), st.randoms(use_true_random=False))
def test_the_same_set_gives_the_same_buckets(items: list[Crash], random: Random) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    with store.opened("sqlite://", print) as once, store.opened("sqlite://", print) as often:
        fresh = take(once, "r0", *items)
        start = number = 0
        grown: dict[str, set[str]] = {}
        while start < len(shuffled):
            size = random.randint(1, 6)
            grown = take(often, f"r{number}", *shuffled[start : start + size])
            start, number = start + size, number + 1
        assert grown == fresh
        assert take(often, "again") == fresh
    counted = [item for item in items if any(item.id in members for members in fresh.values())]
    bucket_of = {identity: bucket for bucket, members in fresh.items() for identity in members}
    for one, other in pairwise(counted):
        same = compare(one, other, counted).same
        assert same == (bucket_of[one.id] == bucket_of[other.id]), "`why` says what triage does"


def same(*items: Crash) -> bool:
    """All of them are one bucket."""
    return len(groups(items)) == 1


def at(name: str, line: int | None = 3, file: str = "a.c") -> Step:
    """A function at a line; None: a program without debug information."""
    return Step(name=name, file=file if line else None, line=line)


def test_a_text_with_other_values_in_it_or_a_cut_one_is_proved_by_the_line() -> None:
    ann, bob = (crash(f"panic: no such candidate {who}", at("lookup"), at("main", 9)) for who in ("ann", "bob"))
    assert same(ann, bob)
    assert same(ann, crash("panic: no such", at("lookup"), at("main", 9)))
    assert not same(ann, crash("panic: no such candidate bob", at("lookup", 4), at("main", 9))), "another line"
    assert not same(
        crash("throw: E: negative length N", at("decode"), at("main", 9)),
        crash("throw: E: checksum mismatch", at("decode"), at("main", 9)),
    ), "two throws on one line"


def test_a_text_that_is_lost_is_proved_by_the_line_and_by_callers() -> None:
    told = crash("abort: out of memory", at("xalloc"), at("cache", 5), at("main", 9))
    assert same(told, crash("abort at a.c:3", at("xalloc"), at("cache", 5), at("main", 9)))
    assert same(told, crash("abort", at("cache", None), at("main", None)))
    assert not same(told, crash("abort", at("evict", None), at("main", None)))


def test_functions_in_the_middle_that_a_build_without_debug_information_lacks() -> None:
    whole = crash("null+0x8", at("hash"), at("slot", 4), at("find", 5), at("run", 6))
    assert same(whole, crash("null+0x8", at("hash", None), at("find", None), at("run", None)))
    assert not same(whole, crash("null+0x8", at("hash", None), at("get", None), at("run", None)))
    assert not same(whole, crash("null+0x8", at("run", None))), "one function proves nothing"
    other = crash("null+0x8", at("hash"), at("find", 5), at("get", 7), at("run", 6))
    lacking = crash("null+0x8", at("hash", None), at("find", None), at("run", None))
    assert len(groups([whole, other, lacking])) == 2, "it has the signature of one that is whole: that is it"


def test_a_cycle_with_an_inlined_function() -> None:
    whole = crash("stack-overflow", at("list"), at("value", 4), at("list"))
    assert same(whole, crash("stack-overflow", at("value", None)))
    assert not same(whole, crash("stack-overflow", at("walk", None)))


def test_a_template_that_lost_its_class() -> None:
    full, short = (crash("null+0x0", at("{lambda}"), at(name, 5)) for name in ("cached::Table::each", "each"))
    assert same(full, short)
    assert not same(full, crash("null+0x0", at("{lambda}"), at("reach", 5)))


def test_an_index_behind_null_is_of_the_member_if_there_is_one_only() -> None:
    member, other = (crash(f"null+{offset}", "load", "run") for offset in ("0x8", "0x10"))
    indexed = crash("null+index", "load", "run")
    assert same(member, indexed)
    assert len(groups([member, other, indexed])) == 3
    assert not same(member, crash("null+index", "store", "run"))


def test_signatures_of_two_versions_are_one_where_the_addresses_are() -> None:
    import msgspec

    new = crash("throw: E: bad", "load", "run", exact="e1")
    old = crash("throw: E", "load", "run", exact="e1")
    old = msgspec.structs.replace(old, signature=msgspec.structs.replace(old.signature, version=1))
    assert same(new, old)
    assert not same(new, crash("throw: E", "load", "run", exact="e1")), "of one version they differ"


def test_what_joins_later_makes_one_bucket_and_keeps_what_was_noted() -> None:
    one = crash("null+0x8", at("hash"), at("slot", 4), at("run", 6))
    inlined = crash("null+0x8", at("hash", None), at("run", None), incomplete="no symbols")
    with store.opened("sqlite://", print) as opened:
        (first,) = take(opened, "r1", inlined)
        curate.annotate(opened, first, ticket="SHOP-1", notes="seen")
        take(opened, "r2", one)
        (bucket,) = curate.load(opened).triage.buckets
        assert (bucket.id, bucket.ticket, bucket.notes, bucket.count) == (one.signature.id, "SHOP-1", "seen", 2)
        assert bucket.status == "known"
        assert curate.load(opened).one(first).id == bucket.id, "the id that a ticket names leads there"


def test_merged_by_people_with_notes_and_tickets() -> None:
    first, second, third = crash("null+0x8", "a", "b"), crash("bad address", "c", "d"), crash("division", "e", "f")
    with store.opened("sqlite://", print) as opened:
        take(opened, "r1", first, second, third)
        curate.annotate(opened, first.signature.id, ticket="SHOP-1", notes="one")
        curate.annotate(opened, second.signature.id, ticket="SHOP-2", notes="two", fixed_in="1.3")
        curate.merge(opened, first.signature.id, [second.signature.id])
        found = curate.load(opened).one(second.signature.id)
        assert (found.id, found.count, found.status) == (first.signature.id, 2, "known")
        assert (found.ticket, found.notes) == ("SHOP-1", "one\ntwo\nalso SHOP-2")
        more = take(opened, "r2", crash("bad address", "c", "d", number=5))
        assert len(more[first.signature.id]) == 3 and len(more) == 2


def test_links_hold_what_nothing_else_does() -> None:
    one, other = crash("null+0x8", "a", "b"), crash("division", "e", "f")
    found = sets([one, other], [(other.signature.id, one.signature.id), ("gone", one.signature.id)])
    assert found.root(one.signature.id) == found.root(other.signature.id)
