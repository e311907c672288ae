"""Why two crashes are one bucket, or are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from postmortem.triage import cluster
from postmortem.triage.joins import sets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from postmortem.model.triage import Crash


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """same: one bucket, because of `reasons`; or not. pairs: aligned functions. score: of FaST."""

    first: Crash
    second: Crash
    same: bool
    reasons: tuple[str, ...]
    pairs: tuple[cluster.Pair, ...]
    score: float


def compare(
    first: Crash, second: Crash, others: Sequence[Crash] = (), links: Sequence[tuple[str, str]] = ()
) -> Comparison:
    """others, links: the rest of a store, which tells what could be what, and the weights of functions."""
    stacks = [[step.name for step in crash.steps] for crash in (first, second)]
    rest = [crash for crash in others if crash.id not in (first.id, second.id)]
    frequencies = cluster.Frequencies([*stacks, *([step.name for step in crash.steps] for crash in rest)])
    every = list({crash.id: crash for crash in (*others, first, second)}.values())
    one, other = first.signature.id, second.signature.id
    alone, found = sets(every), sets(every, links)
    joined, merged = (of.root(one) == of.root(other) for of in (alone, found))
    return Comparison(
        first=first,
        second=second,
        same=merged,
        reasons=tuple(_reasons(first, second, joined, merged, alone=not rest)),
        pairs=tuple(cluster.aligned(stacks[0], stacks[1], frequencies)),
        score=cluster.similarity(stacks[0], stacks[1], frequencies),
    )


def _reasons(first: Crash, second: Crash, joined: bool, merged: bool, alone: bool) -> Iterable[str]:
    one, other = first.signature, second.signature
    if one.id == other.id:
        yield f"their signatures are equal: {one.text}"
        return
    if one.version != other.version:
        yield f"their signatures are of versions {one.version} and {other.version}, which can't be compared"
    if joined:
        if one.exact is not None and one.exact == other.exact:
            yield "the same addresses of the same build; one of them lacks symbols"
        else:
            yield "the stack of one is the other's without inlined functions or lost native callers"
            if alone:
                yield "of these two alone: among others it could be either of several (--store)"
    elif merged:
        yield "the store has them in one bucket"
    if one.cause != other.cause:
        yield f"their causes differ: {one.cause} and {other.cause}"
    if one.frames != other.frames:
        yield f"their functions differ: {' | '.join(one.frames) or 'none'} and {' | '.join(other.frames) or 'none'}"
    for signature in (one, other):
        if signature.incomplete is not None:
            yield f"{signature.text}: {signature.incomplete}"
