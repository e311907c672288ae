"""Sizes that keep the code readable."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.postmortem.corpus import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 60


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for package in ("parsers", "postmortem", "reports"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{path.relative_to(ROOT)}: {node.name}", node


def test_a_long_function_says_why() -> None:
    silent = []
    for name, node in functions():
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > LONGEST and "Long:" not in (ast.get_docstring(node) or ""):
            silent.append(f"{name}, {lines} lines")
    assert not silent


def test_the_pipeline_is_a_list() -> None:
    assert len((ROOT / "postmortem" / "pipeline.py").read_text(encoding="utf-8").splitlines()) < 120
