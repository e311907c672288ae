"""What is kept: our own words of each command's help, and a report of the demo's core in each format.

Nothing of it depends on this machine: the core's modules come from the demo's sysroot alone, and paths, times and
versions are replaced. The help is taken from the commands, since its layout is click's and the terminal's.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import postmortem
from postmortem.cli.group import cli
from postmortem.model import to_json
from reports import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from postmortem.model import Report

FOLDER = Path(__file__).parent
_DEMO = FOLDER.parents[1] / "fixtures" / "demo"
_VARIES = (
    (re.escape(str(_DEMO)), "DEMO"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC|[+-]\d\d:\d\d)?", "TIME"),
    (r"\d+(?:\.\d+)? (?:ms|s)\b", "DURATION"),
    (rf"\b{re.escape(postmortem.__version__)}\b", "VERSION"),
)


@functools.cache
def _report() -> Report:
    with tempfile.TemporaryDirectory() as cache:
        options = postmortem.Options(sysroot=_DEMO / "sysroot", cache_dir=Path(cache))
        return postmortem.analyze(_DEMO / "core.zst", options)


def _normalised(text: str) -> str:
    for pattern, name in _VARIES:
        text = re.sub(pattern, name, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


class _Words(HTMLParser):
    """The text of a page, a line for each piece, below the ids that links go to; without styles and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        members = dict(attrs)
        self._inside = tag
        if members.get("id"):
            self.lines.append(f"#{members['id']}")
        self.lines += [f"[{members[name]}]" for name in ("title", "aria-label", "placeholder") if members.get(name)]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script") and data.strip():
            self.lines.append(" ".join(data.split()))


def _html() -> str:
    words = _Words()
    words.feed(FORMATS["html"](_report()))
    return _normalised("\n".join(words.lines))


def _json() -> str:
    members = json.loads(to_json(_report()))
    del members["timings"]
    return _normalised(json.dumps(members, indent=1, ensure_ascii=False))


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner in sorted(command.commands):
            yield from _commands(command.commands[inner], f"{name} {inner}")


def _parameter(parameter: click.Parameter) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    kind = "|".join(map(str, parameter.type.choices)) if isinstance(parameter.type, click.Choice) else ""
    about: Any = getattr(parameter, "help", None)
    marks = [
        mark
        for mark, given in (
            ("required", parameter.required),
            ("repeated", parameter.multiple or parameter.nargs == -1),
            (f"default {parameter.default}", getattr(parameter, "show_default", None)),
        )
        if given
    ]
    words = [", ".join(names), parameter.metavar or "", kind, f"({', '.join(marks)})" if marks else ""]
    first = "  " + " ".join(word for word in words if word)
    return first + "".join(f"\n      {line}" for line in inspect.cleandoc(about or "").splitlines())


def _help() -> str:
    parts = []
    for name, command in _commands(cli, "postmortem"):
        parts += [name, *(f"  {line}" for line in inspect.cleandoc(command.help or "").splitlines())]
        parts += [_parameter(parameter) for parameter in command.params]
        parts.append("")
    return _normalised("\n".join(parts))


MADE: Mapping[str, Callable[[], str]] = {
    "help.txt": _help,
    "demo.html.txt": _html,
    "demo.json": _json,
    "demo.md": lambda: _normalised(FORMATS["markdown"](_report())),
    "demo.txt": lambda: _normalised(FORMATS["text"](_report())),
}
"""Name of the file, and what makes its content."""
