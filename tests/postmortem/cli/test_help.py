"""What the help says of each command fits a line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from postmortem.cli.group import COMMANDS, cli


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_no_summary_is_cut_at_80_columns(command: str) -> None:
    (line,) = [
        line
        for line in CliRunner().invoke(cli, ["--help"], terminal_width=80).output.splitlines()
        if line.strip().startswith(f"{command} ")
    ]
    assert not line.endswith("...")


def test_every_option_of_analyze_says_what_it_is_for() -> None:
    analyze = next(command for command in COMMANDS if command.name == "analyze")
    assert all(getattr(option, "help", None) for option in analyze.params if option.param_type_name == "option")
