"""What each rule was proven on, gathered from the recipes of the crashes.

    python -m tests.postmortem.rules.evidence        writes postmortem/rules/evidence.json anew

That the crashes do get these diagnoses is what test_corpus.py, tests/postmortem/jvm/test_verdicts.py and
tests/postmortem/hs_err check.
"""

from __future__ import annotations

import json
from pathlib import Path

from postmortem.rules import ALL
from postmortem.rules import proven as evidence
from tests.postmortem.corpus import cases
from tests.postmortem.jvm import corpus

FILE = Path(evidence.__file__).with_name("evidence.json")

STATE = {
    "null-large-core-cut": "truncated-core",
    "null-disk-full": "truncated-core",
    "null-undumped-memory": "incomplete-core",
    "null-stripped": "missing-symbols",
    "replaced-binary": "replaced-binary",
    "mixed-libraries": "mixed-libraries",
    "fork-with-lock": "orphaned-lock",
}
"""Findings about process and core that stand beside the verdict of a native crash."""

LOGS = {
    "jni-17": (("jvm-outdated",), ("fatal-signal",)),
    "jni-27": (
        (),
        (
            "jvm-outdated",
            "fatal-signal",
            "jvm-illegal-instruction",
            "jvm-write-protected-code",
            "jvm-windows-exception",
        ),
    ),
    "libc-fault": (("fatal-signal",), ("jvm-outdated",)),
    "cxx-exception-27": (("jvm-windows-exception",), ("jvm-internal-error", "fatal-signal")),
    "avx512-27": (("jvm-illegal-instruction",), ("jvm-crash-in-compiled-code", "jvm-arithmetic-fault")),
    "division-27": (("jvm-arithmetic-fault",), ("jvm-crash-in-interpreter", "integer-division")),
    "protected-code-27": (("jvm-write-protected-code",), ("jvm-illegal-instruction",)),
}
"""fixtures/logs: the rules that fire, and those that stay silent, for what the log alone can prove."""


def gathered() -> dict[str, evidence.Evidence]:
    """By rule, in the order of ALL."""
    fires: dict[str, list[str]] = {rule.id: [] for rule in ALL}
    silent: dict[str, list[str]] = {rule.id: [] for rule in ALL}

    def note(place: str, found: tuple[str, ...], missed: tuple[str, ...]) -> None:
        for rule in dict.fromkeys(found):
            fires[rule].append(place)
        for rule in missed:
            silent[rule].append(place)

    for case in cases():
        rules = [case.get("rule"), *case.get("also", ()), STATE.get(case["name"])]
        note(f"native/{case['name']}", tuple(filter(None, rules)), tuple(case.get("near_miss_of", ())))
    used = {*corpus.LOGGED, *corpus.UNLOGGED, *corpus.ASKED, *corpus.JUDGED, *corpus.incidents()}
    for kind in corpus.recipe().KINDS:
        if kind.name in used:
            note(f"jvm/{kind.name}", kind.rules, corpus.recipe().NEAR_MISSES.get(kind.name, ()))
    for name, (found, missed) in LOGS.items():
        note(f"logs/{name}", found, missed)
    return {rule.id: evidence.Evidence(fires=tuple(fires[rule.id]), silent=tuple(silent[rule.id])) for rule in ALL}


def written() -> str:
    """The text of the file."""
    table = {rule: {"fires": item.fires, "silent": item.silent} for rule, item in gathered().items()}
    return json.dumps(table, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
