"""Why two crashes are one bucket, or are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from postmortem.triage import cluster
from postmortem.triage.buckets import groups

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def compare(first: Crash, second: Crash, others: Iterable[Crash] = (), merged: bool = False) -> Comparison:
    """others: crashes by which the weights of functions are told. merged: people made them one bucket."""
    stacks = [[step.name for step in crash.steps] for crash in (first, second)]
    frequencies = cluster.Frequencies([*stacks, *([step.name for step in crash.steps] for crash in others)])
    joined = len(groups([first, second])) == 1
    return Comparison(
        first=first,
        second=second,
        same=joined or merged,
        reasons=tuple(_reasons(first, second, joined, merged)),
        pairs=tuple(cluster.aligned(stacks[0], stacks[1], frequencies)),
        score=cluster.similarity(stacks[0], stacks[1], frequencies),
    )


def _reasons(first: Crash, second: Crash, joined: bool, merged: bool) -> Iterable[str]:
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
            yield "the stack of one begins where the other's goes on below inlined functions or lost native callers"
    elif merged:
        yield "the store has them in one bucket"
    if one.cause != other.cause:
        yield f"their causes differ: {one.cause} and {other.cause}"
    if one.frames != other.frames:
        yield f"their functions differ: {' | '.join(one.frames) or 'none'} and {' | '.join(other.frames) or 'none'}"
    for signature in (one, other):
        if signature.incomplete is not None:
            yield f"{signature.text}: {signature.incomplete}"
