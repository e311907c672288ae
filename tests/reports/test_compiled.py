"""Compiled templates are kept beside the bytecode of modules, and made anew when source or environment changes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from reports import compiled, templates

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compiled, "_FOLDER", tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    return tmp_path


def made(text: str) -> str:
    return templates.environment(lambda name: text, page="x").get_template("a.html").render(value="<")


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.pyc*"))


def test_a_template_is_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made("{{ value }}!") == "&lt;!"
    (path,) = kept(folder)
    monkeypatch.setattr("jinja2.Environment.compile", lambda *_: pytest.fail("compiled again"))
    assert made("{{ value }}!") == "&lt;!"
    assert kept(folder) == [path]


def test_a_changed_source_is_compiled_anew(folder: Path) -> None:
    made("{{ value }}!")
    assert made("{{ value }}?") == "&lt;?"
    assert len(kept(folder)) == 1


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 300, None])
def test_what_is_damaged_or_of_another_environment_is_made_anew(folder: Path, content: bytes | None) -> None:
    made("{{ value }}!")
    (path,) = kept(folder)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b" ", b"-", 1) if content is None else content)
    assert made("{{ value }}!") == "&lt;!"
    assert path.read_bytes() == whole


def test_nothing_is_kept_where_python_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert made("{{ value }}!") == "&lt;!"
    assert kept(folder) == []


def test_a_folder_that_can_not_be_written_is_no_error(folder: Path) -> None:
    (folder / "__pycache__").write_text("no folder")
    assert made("{{ value }}!") == "&lt;!"
