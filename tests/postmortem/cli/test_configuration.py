"""Defaults from files: what they set, what they may not, and what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from postmortem.cli import configuration
from postmortem.cli.group import cli
from tests.postmortem import corpus

if TYPE_CHECKING:
    from pathlib import Path

DEMO = corpus.ROOT / "fixtures" / "demo"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's file, and no other."""
    monkeypatch.delenv("POSTMORTEM_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    monkeypatch.setattr(configuration, "MACHINE", tmp_path / "machine.toml")
    return tmp_path / "machine.toml"


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def _analyze(*more: str) -> Result:
    return _run("analyze", str(DEMO / "core.zst"), "--sysroot", str(DEMO / "sysroot"), "-o", "-", *more)


def test_patterns_add_up_and_what_is_typed_comes_last(machine: Path, tmp_path: Path) -> None:
    machine.write_text('mask = ["discount_\\\\w+"]\n[analyze]\nformat = "markdown"\nmax-seconds = 99\n')
    (tmp_path / "own" / "postmortem").mkdir(parents=True)
    (tmp_path / "own" / "postmortem" / "config.toml").write_text('mask = ["price_\\\\w+"]\n')
    shown = _analyze("-v")
    assert shown.exit_code == 0, shown.output
    assert "99 s" in shown.stderr
    assert shown.stdout.startswith("#")
    assert "discount_of" not in shown.stdout
    assert "price_order" not in shown.stdout
    assert _analyze("--format", "json").stdout.startswith("{")
    told = _run("config")
    assert f"read: {machine}" in told.output
    assert "analyze --max-seconds = 99" in told.output
    assert "render --mask" in told.output


def test_without_files_nothing_is_set(machine: Path) -> None:
    told = _run("config")
    assert told.exit_code == 0
    assert "not there" in told.output
    assert "=" not in told.output


@pytest.mark.parametrize(
    "content", ["max-sekunden = 1", "[analyze]\nnothing = 1", "[", 'mask = ["("]', 'max-seconds = "soon"', "\xff"]
)
def test_what_is_wrong_is_a_usage_error(machine: Path, content: str) -> None:
    machine.write_bytes(content.encode("latin-1"))
    result = _analyze()
    assert result.exit_code == 2, result.output
    assert "Error" in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)
