"""Where a report is written, in which format. The only writer of files and of the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from postmortem.model import Report


EXISTING = click.Path(exists=True, path_type=Path)
FORMATS = ("html", "json", "markdown", "text")


def one_line(text: str) -> str:
    return " ".join(text.split())


def redacted(report: Report, no_redact: bool) -> Report:
    if no_redact:
        return report
    from reports.redaction import redact

    return redact(report)


def rendered(report: Report, form: str) -> bytes:
    if form == "json":
        from postmortem.model import to_json

        return to_json(report)
    from reports import FORMATS as renderers

    return renderers[form](report).encode("utf-8", "backslashreplace")


def write(report: Report, core: Path, output: Path | None, form: str | None) -> None:
    if output is not None:
        if form is None:
            endings = {".json": "json", ".md": "markdown", ".markdown": "markdown", ".txt": "text"}
            form = endings.get(output.suffix, "html")
        if str(output) != "-" and output.is_dir():
            output = output / f"{core.name}.postmortem.{ending(form)}"
        put(rendered(report, form), output)
        return
    form = form or "html"
    name = f"{core.name}.postmortem.{ending(form)}"
    beside = core.parent / name
    target = beside if os.access(core.parent, os.W_OK) else Path.cwd() / name
    put(rendered(report, form), target)
    from rich.console import Console

    from reports.terminal import show

    show(report, Console())
    click.echo(f"report: {target}")


def ending(form: str) -> str:
    return {"markdown": "md", "text": "txt"}.get(form, form)


def put(data: bytes, output: Path) -> None:
    if str(output) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        sys.stderr.write(f"postmortem: {output}: {error.strerror}\n")
        raise SystemExit(3) from None
