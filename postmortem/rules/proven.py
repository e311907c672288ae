"""What each rule was proven on: crashes of the fixtures that fire it, and near misses on which it stays silent.

The file beside this one is written by the tests' own gathering of the recipes, and held equal to it by a test.
"""

from __future__ import annotations

import functools
from importlib import resources

import msgspec


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Names of crashes: native/ and jvm/ as the recipes below fixtures/ call them, logs/ of fixtures/logs."""

    fires: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    def words(self) -> str:
        """ "27 crashes, 4 near misses"."""
        return f"{_count(len(self.fires), 'crash', 'crashes')}, {_count(len(self.silent), 'near miss', 'near misses')}"


@functools.cache
def table() -> dict[str, Evidence]:
    """By rule; an external rule is not in it."""
    data = resources.files("postmortem.rules").joinpath("evidence.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, Evidence])


def of(rule: str) -> Evidence | None:
    """None for a rule that came from elsewhere."""
    return table().get(rule)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
