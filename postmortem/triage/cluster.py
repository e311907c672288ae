"""How alike two stacks are: FaST (Rodrigues, Aloise and Fernandes, MSR 2022), linear in their length.

A function's weight falls with its depth and with the number of stacks that have it. Occurrences of a function are
paired in their order; a pair adds both weights, less the further apart the places are; what has no pair subtracts its
own. 1 is equal, -1 nothing in common.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ALPHA, BETA, GAMMA = 0.6, 2.0, 0.4
"""Fall of the weight with depth, with frequency, and of a pair with its distance."""
THRESHOLD = 0.2
"""Likeness from which two buckets are suggested to be one; chosen on CASR's reports (benchmarks/signatures.py)."""
_MOST_CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class Pair:
    """Two aligned functions: places from 0 and weights; None where one stack has no partner."""

    name: str
    first: int | None
    second: int | None
    weight: float
    score: float


class Frequencies:
    """How many of a set of stacks have each function."""

    def __init__(self, stacks: Iterable[Sequence[str]]) -> None:
        self._count: Counter[str] = Counter()
        self._stacks = 0
        for stack in stacks:
            self._count.update(set(stack))
            self._stacks += 1

    def weight(self, name: str, place: int) -> float:
        """Of a function at a place, from 0."""
        share = self._count[name] / self._stacks if self._stacks else 0.0
        return math.pow(place + 1, -ALPHA) * math.exp(-BETA * share)


def aligned(first: Sequence[str], second: Sequence[str], frequencies: Frequencies) -> list[Pair]:
    """The pairs, in the order of their places."""
    places: tuple[defaultdict[str, list[int]], ...] = (defaultdict(list), defaultdict(list))
    for stack, found in zip((first, second), places, strict=True):
        for place, name in enumerate(stack):
            found[name].append(place)
    pairs = []
    for name in {**places[0], **places[1]}:
        for one, other in zip_longest(places[0][name], places[1][name]):
            weight = sum(frequencies.weight(name, place) for place in (one, other) if place is not None)
            if one is None or other is None:
                pairs.append(Pair(name, one, other, weight, -weight))
            else:
                pairs.append(Pair(name, one, other, weight, weight * math.exp(-GAMMA * abs(one - other))))
    return sorted(pairs, key=lambda pair: min(place for place in (pair.first, pair.second) if place is not None))


def similarity(first: Sequence[str], second: Sequence[str], frequencies: Frequencies) -> float:
    """-1 to 1."""
    pairs = aligned(first, second, frequencies)
    total = sum(pair.weight for pair in pairs)
    return sum(pair.score for pair in pairs) / total if total else 0.0


def near(stacks: dict[str, Sequence[str]]) -> dict[str, list[tuple[str, float]]]:
    """For each stack those that are alike, best first. Only stacks that share a function are compared."""
    frequencies = Frequencies(stacks.values())
    with_function: defaultdict[str, set[str]] = defaultdict(set)
    for key, stack in stacks.items():
        for name in stack:
            with_function[name].add(key)
    found: dict[str, list[tuple[str, float]]] = {}
    for key, stack in stacks.items():
        shared: Counter[str] = Counter()
        for name in set(stack):
            if len(with_function[name]) <= max(_MOST_CANDIDATES, len(stacks) // 4):
                shared.update(with_function[name])
        del shared[key]
        scored = [
            (other, round(similarity(stack, stacks[other], frequencies), 3))
            for other, _ in shared.most_common(_MOST_CANDIDATES)
        ]
        found[key] = sorted((item for item in scored if item[1] >= THRESHOLD), key=lambda item: (-item[1], item[0]))
    return found
