"""What kills the worker costs its stage, not the report."""

from __future__ import annotations

import gzip
import os
import signal
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

import postmortem.pipeline
import postmortem.runtimes.native.attach
from postmortem.errors import AnalysisError
from postmortem.guard import WorkerLimits, analysis
from postmortem.guard.analysis import Request, Terminal
from postmortem.model import Report, from_json
from postmortem.targets.watch import Watch
from tests.postmortem import corpus

DEMO = corpus.ROOT / "fixtures" / "demo"
REQUEST = Request(core=DEMO / "core.zst", options={"sysroot": DEMO / "sysroot"}, forms=("json",))
DEADLY = {
    "modules": "postmortem.program.program.load_modules",
    "hotspot": "postmortem.runtimes.hotspot.attach.attach",
    "unwind": "postmortem.pipeline.walk_threads",
    "fault": "postmortem.pipeline.crash_of",
    "symbols": "postmortem.symbols.symbolication.Symbolication.locate",
    "threads": "postmortem.pipeline.waits",
    "process": "postmortem.program.identity.describe",
    "native": "postmortem.runtimes.native.attach.native_facts",
    "rules": "postmortem.judgement.run_rules",
}


@pytest.fixture(autouse=True)
def _every_runtime_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """HotSpot, too, which no library of the shipped crash speaks for."""
    import_module("postmortem.runtimes.hotspot.attach")
    monkeypatch.setattr("postmortem.runtimes.hotspot.LIBRARY", None)


def _report(made: analysis.Made) -> Report:
    return from_json(made.documents["json"])


def test_the_same_report_with_and_without_a_worker() -> None:
    guarded, plain = analysis.analyze(REQUEST), analysis.here(REQUEST)
    one, other = (msgspec.structs.replace(_report(made), timings={}) for made in (guarded, plain))
    assert one == other
    assert guarded.lost is None
    assert guarded.severities == ("critical",)
    assert guarded.pid == str(one.process.pid)


@pytest.mark.parametrize("stage", DEADLY)
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS])
def test_a_stage_that_kills_is_left_out(stage: str, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    def deadly(*arguments: object, **more: object) -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr(DEADLY[stage], deadly)
    made = analysis.analyze(REQUEST)
    report = _report(made)
    assert made.lost is not None
    assert number.name in made.lost
    assert stage in made.lost
    (problem,) = [problem for problem in report.problems if problem.stage == stage and "left out" in problem.what]
    assert number.name in problem.what
    assert report.core.size == (DEMO / "core.zst").stat().st_size
    if stage not in ("fault", "unwind", "rules"):
        assert report.verdict is not None
        assert report.verdict.rule == "null-dereference"
    if stage != "process":
        assert report.process.pid is not None


def test_an_error_of_ours_costs_its_stage_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **more: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(postmortem.runtimes.native.attach, "native_facts", fails)
    made = analysis.analyze(REQUEST)
    assert made.lost is not None and "a fault of ours" in made.lost
    assert _report(made).verdict is not None


def test_a_stage_that_hangs_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*arguments: object, **more: object) -> None:
        signal.pause()

    analysis.analyze(REQUEST)  # what is cached now takes no time later
    monkeypatch.setattr(postmortem.runtimes.native.attach, "native_facts", hangs)
    made = analysis.analyze(REQUEST, WorkerLimits(seconds=8))
    assert made.lost is not None and "8 s" in made.lost
    assert any(problem.stage == "native" for problem in _report(made).problems)


def test_a_death_that_no_stage_explains_is_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def deadly(*arguments: object, **more: object) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    monkeypatch.setattr(postmortem.pipeline, "opened", deadly)
    with pytest.raises(AnalysisError, match="SIGSEGV"):
        analysis.analyze(REQUEST)


def test_everything_at_once_still_gives_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def deadly(*arguments: object, **more: object) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    for function in DEADLY.values():
        monkeypatch.setattr(function, deadly)
    made = analysis.analyze(REQUEST)
    assert _report(made).problems


def test_a_terminal_that_knows_ascii_alone() -> None:
    made = analysis.analyze(
        Request(core=DEMO / "core.zst", options=REQUEST.options, forms=(), terminal=Terminal(encoding="ascii"))
    )
    assert made.shown.isascii()
    assert b"Null pointer read" in made.shown
    assert Path(DEMO).is_dir()


def test_decompression_says_its_limit_before_it_starts(tmp_path: Path) -> None:
    """And how far it is, while it runs."""
    core = tmp_path / "core.gz"
    core.write_bytes(gzip.compress(os.urandom(3 << 20)))
    said: list[object] = []
    watch = Watch(said.append, lambda done, total: said.append((done, total)))
    with pytest.raises(AnalysisError):
        analysis.analyze(Request(core=core), watch=watch)
    assert isinstance(said[0], str)
    assert said[0].startswith("decompressing 3.1 MB (gz) into ")
    assert "GB have room" in said[0]
    size = core.stat().st_size
    assert len(said) > 1
    assert all(isinstance(told, tuple) and 0 < told[0] <= told[1] == size for told in said[1:])
