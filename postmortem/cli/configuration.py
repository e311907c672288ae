"""postmortem config: defaults of options from files, and what is in force and from where.

    max-memory = 2048                  # for every command that has the option
    mask = ["ticket-[0-9]+"]

    [analyze]
    debug-dir = ["/srv/debug"]

The machine's file comes first, the user's own after it; what is typed comes last. Patterns to mask add up, so that a
user does not undo the machine's by having one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import click

_LARGEST = 1 << 20
MACHINE = Path("/etc/postmortem/config.toml")
_ADDED_UP = ("masks",)


class Setting(NamedTuple):
    """A default of an option and the file that it is from."""

    value: Any
    source: Path


def files() -> list[Path]:
    """Where settings may be: $POSTMORTEM_CONFIG alone, if it is set, else the machine's and the user's own."""
    named = os.environ.get("POSTMORTEM_CONFIG")
    if named is not None:
        return [Path(named)] if named else []
    base = os.environ.get("XDG_CONFIG_HOME") or ""
    home = os.path.expanduser("~/.config")  # noqa: PTH111  (Path.home raises where there is none)
    own = Path(base if base.startswith("/") else home)
    return [MACHINE, *([own / "postmortem" / "config.toml"] if own.is_absolute() else [])]


def settings(group: click.Group) -> dict[str, dict[str, Setting]]:
    """By command and parameter. Raises click.UsageError for a file that is none, or names what does not exist."""
    found: dict[str, dict[str, Setting]] = {name: {} for name in group.commands}
    for path in files():
        content = _content(path)
        for key, value in content.items():
            commands = {key: group.commands[key]} if key in group.commands and isinstance(value, dict) else {}
            entries = value if commands else {key: value}
            known = False
            for name, command in (commands or group.commands).items():
                parameters = {option.lstrip("-"): one for one in command.params for option in one.opts}
                for option, given in entries.items():
                    parameter = parameters.get(option)
                    if parameter is not None and parameter.name is not None and isinstance(parameter, click.Option):
                        known = True
                        _set(found[name], parameter.name, given, path)
                    elif commands:
                        raise click.UsageError(f"{path}: {name} has no option {option!r}")
            if not known and not (commands and not entries):
                raise click.UsageError(f"{path}: no command has an option {key!r}")
    return found


def _set(settings: dict[str, Setting], name: str, value: Any, path: Path) -> None:
    former = settings.get(name)
    if name in _ADDED_UP and former is not None and isinstance(value, list):
        value = [*former.value, *value]
    settings[name] = Setting(value, path)


def _content(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST).decode()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: {error}") from error
    import tomllib  # for those who have a file

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise click.UsageError(f"{path}: {error}") from error


def default_map(group: click.Group) -> dict[str, dict[str, Any]]:
    """The settings as click takes them."""
    return {
        command: {name: setting.value for name, setting in found.items()} for command, found in settings(group).items()
    }


@click.command()
@click.pass_context
def config(context: click.Context) -> None:
    """Show the defaults in force and where they are from."""
    group = context.find_root().command
    assert isinstance(group, click.Group)
    for path in files():
        click.echo(f"{'read' if path.is_file() else 'not there'}: {path}")
    found = settings(group)
    for name, command in sorted(group.commands.items()):
        for parameter in command.params:
            setting = found[name].get(parameter.name or "")
            if setting is not None:
                click.echo(f"{name} --{_option(parameter)} = {setting.value!r}  ({setting.source})")


def _option(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len).lstrip("-")
