"""The command line: options in, exit code out.

Exit codes: 0 report written, 1 a finding at or above --fail-on, 2 usage, 3 no report possible.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from postmortem import __version__
from postmortem.cli.analyze import analyze
from postmortem.cli.buckets import buckets
from postmortem.cli.configuration import config, default_map
from postmortem.cli.output import one_line
from postmortem.cli.render import render
from postmortem.cli.rules import rules, schema
from postmortem.cli.triage import triage
from postmortem.cli.why import why

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMANDS = (analyze, render, triage, buckets, why, rules, schema, config)


@contextmanager
def _printable() -> Iterator[None]:
    """Usage errors quote what was typed: a file name with an escape in it must not reach the terminal."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = one_line(error.message)
        raise


class _Group(click.Group):
    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        with _printable():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _printable():
            return super().invoke(ctx)


def command_line(commands: Sequence[click.Command]) -> click.Group:
    """The program with its commands; defaults of their options come from the configuration."""

    @click.group(
        name="postmortem",
        cls=_Group,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="What crashed, on which thread, in whose code, why, and what to do next: from a core dump.",
    )
    @click.version_option(__version__, prog_name="postmortem")
    @click.pass_context
    def group(context: click.Context) -> None:
        context.default_map = default_map(group)

    for command in commands:
        group.add_command(command)
    return group


cli = command_line(COMMANDS)
