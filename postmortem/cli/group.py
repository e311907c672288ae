"""The command line: options in, exit code out.

Exit codes: 0 report written, 1 a finding at or above --fail-on, 2 usage, 3 no report possible.
"""

from __future__ import annotations

import click

from postmortem import __version__
from postmortem.cli.analyze import analyze
from postmortem.cli.render import render
from postmortem.cli.rules import rules, schema

COMMANDS = (analyze, render, rules, schema)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="postmortem")
def cli() -> None:
    """What crashed, on which thread, in whose code, why, and what to do next: from a core dump."""


for _command in COMMANDS:
    cli.add_command(_command)
