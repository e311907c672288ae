"""Likeness of stacks."""

from __future__ import annotations

import pytest

from postmortem.triage.cluster import Frequencies, aligned, near, similarity

A = ["crash", "parse", "load", "main"]
B = ["parse", "load", "main"]
C = ["draw", "paint", "loop"]


def test_equal_is_one_and_nothing_in_common_is_minus_one() -> None:
    frequencies = Frequencies([A, B, C])
    assert similarity(A, A, frequencies) == pytest.approx(1.0)
    assert similarity(A, C, frequencies) == pytest.approx(-1.0)
    assert -1 < similarity(A, B, frequencies) < 1
    assert similarity(A, B, frequencies) == pytest.approx(similarity(B, A, frequencies))
    assert similarity([], [], frequencies) == 0.0


def test_repeated_functions_are_paired_in_their_order() -> None:
    pairs = aligned(["f", "g", "f"], ["f", "f", "f"], Frequencies([A]))
    assert [(pair.name, pair.first, pair.second) for pair in pairs] == [
        ("f", 0, 0),
        ("f", 2, 1),
        ("g", 1, None),
        ("f", None, 2),
    ]


def test_near_names_what_is_alike_best_first() -> None:
    longer = ["crash", "parse", "load", "run", "main"]
    others = {str(n): [f"f{n}", f"g{n}"] for n in range(10)}
    found = near({"a": A, "longer": longer, "c": C, **others})
    assert [key for key, _ in found["a"]] == ["longer"]
    assert found["c"] == []
