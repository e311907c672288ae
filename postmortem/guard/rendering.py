"""A stored report rendered in a worker: it may come from anywhere, like a core."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from postmortem.errors import AnalysisError
from postmortem.guard.analysis import rendered
from postmortem.guard.worker import Job, Link, run

if TYPE_CHECKING:
    from pathlib import Path

    from postmortem.guard.limits import WorkerLimits
    from postmortem.model import Report


_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """rules: whether the rules are run again."""

    stored: Path
    form: str
    rules: bool = False
    redact: bool = True
    masks: tuple[str, ...] = ()


def render(request: Request, limits: WorkerLimits | None = None) -> bytes:
    """The document. Raises AnalysisError when the file is no stored report."""
    piped = _piped(request.stored)
    outcome = run(
        Job(
            prepare=lambda: _prepare(request),
            work=lambda link: _work(request, piped, link),
            readable=(request.stored.absolute(),),
        ),
        limits,
    )
    if outcome.refused is not None:
        raise outcome.refused
    if outcome.end is not None:
        raise AnalysisError(
            f"{request.stored}: not rendered: the worker {outcome.end.words} in the stage {outcome.stage}",
            "make the report again from its core",
        )
    return outcome.parts["document"]


def _prepare(request: Request) -> None:
    import_module("postmortem.model")
    import_module("postmortem.redaction")
    from reports import load

    load(request.form)
    if request.rules:
        import_module("postmortem.rules.engine")


def _piped(stored: Path) -> bytes | None:
    """What comes through a pipe, which a worker has not; None for anything else."""
    try:
        if not stat.S_ISFIFO(stored.stat().st_mode):
            return None
        with stored.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise AnalysisError(f"{stored}: {error.strerror}", "check the path and its permissions") from error


def _work(request: Request, piped: bytes | None, link: Link) -> None:
    from postmortem.redaction import redact

    link.stage("read")
    report = _parsed(request.stored, piped)
    if request.rules:
        from postmortem.rules.engine import run as run_rules

        link.stage("rules")
        report = run_rules(report)
    if request.redact:
        link.stage("redaction")
        report = redact(report, request.masks)
    link.stage("reports")
    link.part("document", rendered(report, request.form))


def _parsed(stored: Path, piped: bytes | None) -> Report:
    import msgspec

    from postmortem.model import from_json

    try:
        return from_json(_content(stored) if piped is None else piped)
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError, RecursionError, OSError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise AnalysisError(f"{stored}: not a stored report: {words}", "analyze --format json makes one") from None


def _content(stored: Path) -> bytes:
    descriptor = os.open(stored, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AnalysisError(f"{stored}: is not a regular file", "name a stored report")
        return file.read()
