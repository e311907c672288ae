"""Every case of the native corpus gets the verdict that it must, and no finding that it must not.

Cores come from the directory that POSTMORTEM_NATIVE_CORPUS names (as fixtures/native/recipe.py writes it),
or are made for the session. A case without its core (its compiler is missing) is skipped.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from postmortem.model import Report

NATIVE = Path(__file__).parents[3] / "fixtures" / "native"
CASES: list[dict[str, Any]] = tomllib.loads((NATIVE / "corpus.toml").read_text(encoding="utf-8"))["case"]
STATE = {
    "null-large-core-cut": "truncated-core",
    "null-disk-full": "truncated-core",
    "null-undumped-memory": "incomplete-core",
    "null-stripped": "missing-symbols",
    "replaced-binary": "replaced-binary",
    "mixed-libraries": "mixed-libraries",
    "fork-with-lock": "orphaned-lock",
}
"""Findings about process and core that stand beside the verdict."""

pytestmark = pytest.mark.corpus


def recipe() -> ModuleType:
    """fixtures/native/recipe.py, which is data's own script and in no package."""
    spec = importlib.util.spec_from_file_location("native_recipe", NATIVE / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the cases."""
    named = os.environ.get("POSTMORTEM_NATIVE_CORPUS")
    if named:
        return Path(named)
    built = tmp_path_factory.mktemp("native-corpus")
    recipe().build(built)
    return built


def analyzed(corpus: Path, name: str) -> Report:
    """The report of a case; its executable lies beside the core."""
    import postmortem

    core = corpus / name / "core"
    if not core.is_file():
        pytest.skip(f"no core of {name}: its compiler is missing")
    return postmortem.analyze(core, postmortem.Options(strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_case(corpus: Path, case: dict[str, Any]) -> None:
    report = analyzed(corpus, case["name"])
    found = {finding.rule for finding in report.findings}
    verdict = report.verdict.rule if report.verdict else None
    if "rule" in case:
        assert verdict == case["rule"]
    assert not found & set(case.get("near_miss_of", ()))
    if case["name"] in STATE:
        assert STATE[case["name"]] in found
