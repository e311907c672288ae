"""What users read, kept as it is: the help of every command, and the report of the shipped core in each format.

See tests/snapshot.py for how they are renewed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

import postmortem
from postmortem.cli.group import cli
from tests import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FORMATS = {"html": "html", "json": "json", "markdown": "md", "text": "txt"}


def _commands(command: click.Command, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield names, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _commands(below, (*names, name))


EVERY = list(_commands(cli))


def _one_line(text: str | None) -> str:
    return " ".join((text or "").replace("\b", "").split())


def _parameter(parameter: click.Parameter) -> Iterator[str]:
    """Names, type, default and help: what the help page is made of, not how it is wrapped."""
    kind = parameter.type
    values = f" {'|'.join(str(choice) for choice in kind.choices)}" if isinstance(kind, click.Choice) else ""
    metavar = f" {parameter.metavar}" if parameter.metavar else ""
    yield " / ".join((*parameter.opts, *parameter.secondary_opts)) + values + metavar
    traits = [name for name in ("required", "multiple", "is_flag", "hidden") if getattr(parameter, name, False) is True]
    if parameter.nargs != 1:
        traits.append(f"nargs {parameter.nargs}")
    default = parameter.to_info_dict().get("default")
    if isinstance(default, (str, int, float, Path)) and default is not False:
        traits.append(f"default {default}")
    if traits:
        yield "    " + ", ".join(traits)
    if isinstance(parameter, click.Option) and parameter.help:
        yield "    " + _one_line(parameter.help)


def _described(command: click.Command) -> str:
    lines = [_one_line(command.help)]
    for parameter in command.params:
        lines += ["", *_parameter(parameter)]
    if isinstance(command, click.Group):
        lines += ["", *(f"command {name}" for name in sorted(command.commands))]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("names", "command"), EVERY, ids=[" ".join(("postmortem", *names)) for names, _ in EVERY])
def test_help(names: tuple[str, ...], command: click.Command) -> None:
    snapshot.compare(f"help/{'-'.join(('postmortem', *names))}.txt", _described(command))


@pytest.mark.parametrize(("names", "command"), EVERY, ids=[" ".join(("postmortem", *names)) for names, _ in EVERY])
def test_the_help_page_shows_all_of_it(names: tuple[str, ...], command: click.Command) -> None:
    """However narrow: white space and hyphens at which lines break aside."""
    result = CliRunner().invoke(cli, [*names, "--help"], terminal_width=60)
    assert result.exit_code == 0

    def bare(text: str) -> str:
        return re.sub(r"\s", "", text.replace("\b", ""))

    shown = bare(result.output)
    assert bare(command.help or "") in shown
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert bare(parameter.help or "") in shown
            assert all(name in shown for name in (*parameter.opts, *parameter.secondary_opts))


def _report(folder: Path, form: str, **environment: str) -> str:
    """The report of the shipped core, copied with a fixed time to a folder of its own."""
    work = folder / "demo"
    if not work.exists():
        shutil.copytree(ROOT / "fixtures" / "demo", work)
        os.utime(work / "core.zst", (1_700_000_000, 1_700_000_000))
    out = folder / f"report.{form}"
    subprocess.run(
        [sys.executable, "-m", "postmortem", "analyze", "core.zst", "--sysroot", "sysroot", "--in-process",
         "--format", form, "-o", str(out)],
        check=True, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={
            "PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), "HOME": str(folder),
            "POSTMORTEM_CACHE": str(folder / "cache"), "PYTHONUTF8": "1", **environment,
        },
    )  # fmt: skip
    text = out.read_text(encoding="utf-8").replace(str(work), "/demo")
    text = re.sub(rf"(postmortem |\"version\":\s*\"){re.escape(postmortem.__version__)}\b", r"\1VERSION", text)
    if form == "json":
        report = json.loads(text)
        report["timings"] = dict.fromkeys(report["timings"], 0)
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    return re.sub(r"\b\d+(\.\d+)? (ms|s)\b", "TIME", text)


@pytest.mark.parametrize("form", FORMATS)
def test_report_of_the_shipped_core(form: str, tmp_path: Path) -> None:
    """On a narrow terminal of another language and time zone, and with no program to be found: of no consequence."""
    text = _report(
        tmp_path, form, COLUMNS="37", LC_ALL="C", LANG="de_DE.UTF-8", TZ="Asia/Tokyo", TERM="dumb", PATH="/nowhere"
    )
    snapshot.compare(f"demo.{FORMATS[form]}", text)


def test_the_text_is_the_same_on_another_terminal(tmp_path: Path) -> None:
    text = _report(tmp_path, "text", COLUMNS="200", LC_ALL="C.UTF-8", TERM="xterm-256color", FORCE_COLOR="1")
    snapshot.compare("demo.txt", text)
