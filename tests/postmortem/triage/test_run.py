"""A triage of real crashes, from the files to triage.json."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner

from postmortem.cli.group import cli
from postmortem.model.triage import Triage, triage_from_json, triage_schema
from postmortem.triage import run as runs
from postmortem.triage.again import judge_again
from postmortem.triage.work import Task, analyze
from postmortem.triage.write import write
from tests.postmortem.corpus import ROOT

if TYPE_CHECKING:
    from postmortem.guard.limits import WorkerLimits

DEMO = ROOT / "fixtures" / "demo"
LOGS = [ROOT / "fixtures" / "logs" / name for name in ("jni-17.log", "jni-27.log")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two crashes, and what else lies in such folders."""
    folder = tmp_path_factory.mktemp("collected")
    (folder / "n1").mkdir()
    shutil.copy(DEMO / "core.zst", folder / "n1" / "core.zst")
    shutil.copy(DEMO / "core.zst", folder / "same.zst")
    for log in LOGS:
        shutil.copy(log, folder / log.name)
    (folder / "note.txt").write_text("nothing")
    (folder / "empty").touch()
    (folder / "tiny.core").write_bytes(b"\x7fELF")
    os.mkfifo(folder / "pipe")
    with (folder / "sparse").open("wb") as file:
        file.truncate(100 << 30)
    return folder


def plan(*places: Path, output: Path, **rest: object) -> runs.Plan:
    values: dict[str, object] = {"jobs": 1, "options": {"sysroot": DEMO / "sysroot"}}
    return runs.Plan(places=tuple(map(str, places)), output=output, **(values | rest))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def first(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Triage, Path]:
    output = tmp_path_factory.mktemp("out")
    done = runs.run(plan(place, output=output))
    write(done.triage, output)
    return triage_from_json((output / "triage.json").read_bytes()), output


def test_crashes_are_found_by_content_and_the_rest_is_said(first: tuple[Triage, Path], place: Path) -> None:
    triage, output = first
    counts = triage.inputs
    assert (counts.found, counts.analyzed, counts.known) == (counts.analyzed + counts.skipped + counts.failed, 3, 0)
    skipped = {Path(item.path).name: item.what for item in triage.skipped}
    assert skipped["pipe"] == "is not a regular file"
    assert skipped["empty"] == "is empty"
    assert skipped["note.txt"] == skipped["sparse"] == "is neither a core nor a fatal error log"
    same = {str(place / "n1" / "core.zst"), str(place / "same.zst")}
    (double,) = [item for item in triage.skipped if item.path in same]
    assert double.what == f"is the same as {(same - {double.path}).pop()}"
    jsonschema.validate(json.loads((output / "triage.json").read_bytes()), triage_schema())


def test_a_main_script_is_not_run_again_by_the_processes_of_the_pool(tmp_path: Path) -> None:
    script = tmp_path / "triage.py"
    script.write_text("from postmortem.__main__ import main\nmain()\n")
    output = tmp_path / "out"
    command = [sys.executable, str(script), "triage", str(LOGS[0]), "-o", str(output), "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert triage_from_json((output / "triage.json").read_bytes()).inputs.analyzed == 1


def test_the_logs_of_one_defect_are_one_bucket_with_its_reports(first: tuple[Triage, Path]) -> None:
    triage, output = first
    (jni,) = [bucket for bucket in triage.buckets if bucket.count == 2]
    assert jni.status == "new"
    assert jni.signature.endswith("parent_length | crash.Library.parse0")
    assert jni.best is not None and (output / jni.best.path).read_text().startswith("<!doctype html>")
    assert all(member.report and (output / member.report).is_file() for member in jni.members)
    assert "parent_length" in (output / "digest.md").read_text()
    assert (output / "buckets.csv").read_text().count("\n") == 1 + len(triage.buckets)


def test_a_second_run_analyzes_what_is_new_and_knows_a_moved_file(
    first: tuple[Triage, Path], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, output = first
    moved = tmp_path / "elsewhere"
    shutil.copytree(place / "n1", moved)
    monkeypatch.setattr(runs, "executor", None)  # nothing is left to be run
    tasks: list[object] = []
    monkeypatch.setattr(runs._Collected, "analyze", lambda self: _drain(self, tasks))
    done = runs.run(plan(moved, *LOGS, output=output))
    assert tasks == []
    assert (done.triage.inputs.analyzed, done.triage.inputs.known) == (3, 3)
    assert [(b.id, b.count) for b in done.triage.buckets] == [(b.id, b.count) for b in before.buckets]
    assert {bucket.status for bucket in done.triage.buckets} == {"known"}
    assert done.change.new == []


def _drain(collected: runs._Collected, tasks: list[object]) -> None:
    collected.before = collected.store.known()
    tasks.extend(collected._tasks())


def test_a_tarball_is_looked_into(place: Path, tmp_path: Path) -> None:
    archive = tmp_path / "cores.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(place / "jni-17.log", "../../evil/hs_err_pid1.log")
        tar.add(place / "note.txt", "note.txt")
    done = runs.run(plan(archive, output=tmp_path / "out"))
    (bucket,) = done.triage.buckets
    assert bucket.members[0].path == f"{archive}!../../evil/hs_err_pid1.log"
    assert [item.what for item in done.triage.skipped] == ["is neither a core nor a fatal error log"]
    assert not list((tmp_path / "out").glob(".scratch*"))


def test_rules_run_again_without_the_inputs(first: tuple[Triage, Path], tmp_path: Path) -> None:
    before, output = first
    copy = tmp_path / "copy"
    shutil.copytree(output, copy)
    done = judge_again(plan(output=copy))
    assert [(b.id, b.count, b.title) for b in done.triage.buckets] == [(b.id, b.count, b.title) for b in before.buckets]


def test_command_line(place: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    (tmp_path / "tell").write_text(f"#!/bin/sh\ncat >> {told}\n")
    (tmp_path / "tell").chmod(0o755)
    arguments = ["triage", *map(str, LOGS), "-o", str(tmp_path / "out"), "--jobs", "1", "--fail-on", "new"]
    ran = CliRunner().invoke(cli, [*arguments, "--on-new", str(tmp_path / "tell")])
    assert ran.exit_code == 1, ran.output
    assert msgspec.json.decode(told.read_bytes())["count"] == 2
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert CliRunner().invoke(cli, ["triage", str(LOGS[0])]).exit_code == 2
    store = ["--store", str(tmp_path / "out" / "triage.sqlite")]
    listed = CliRunner().invoke(cli, ["buckets", "list", *store])
    identity = listed.output.split()[0]
    assert CliRunner().invoke(cli, ["buckets", "set", identity, *store, "--ticket", "SHOP-1"]).exit_code == 0
    shown = json.loads(CliRunner().invoke(cli, ["buckets", "show", identity, *store]).output)
    assert shown["ticket"] == "SHOP-1"
    exported = CliRunner().invoke(cli, ["buckets", "export", *store, "--csv", "-"])
    assert exported.exit_code == 0 and "SHOP-1" in exported.output
    parquet = pytest.importorskip("pyarrow.parquet")
    assert CliRunner().invoke(cli, ["buckets", "export", *store, "--parquet", str(tmp_path / "p")]).exit_code == 0
    assert parquet.read_table(tmp_path / "p").to_pylist()[0]["ticket"] == "SHOP-1"
    why = CliRunner().invoke(cli, ["why", *map(str, LOGS)])
    assert why.exit_code == 0 and "one bucket" in why.output and "parent_length" in why.output


def test_small_inputs_share_a_worker_and_the_one_that_ends_it_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from postmortem.guard import analysis

    real = analysis.analyze
    alone: list[str] = []

    def noted(request: analysis.Request, limits: WorkerLimits | None = None) -> analysis.Made:
        alone.append(request.core.name)
        return real(request, limits)

    monkeypatch.setattr(analysis, "analyze", noted)
    work = analysis._work

    def fatal(request: analysis.Request, without: dict[str, str], sink: analysis.Sink) -> None:
        if request.core.name == "second":
            sink.stage("symbols")
            if "symbols" not in without:
                os.kill(os.getpid(), 9)
        work(request, without, sink)

    monkeypatch.setattr(analysis, "_work", fatal)
    tasks = []
    for name in ("first", "second", "third", "fourth"):
        shutil.copy(LOGS[0], tmp_path / name)
        tasks.append(Task(id=name, path=tmp_path / name, shown=name, report=""))
    (tmp_path / "third").write_text("nothing")
    answers = analyze(tuple(tasks))
    assert [answer.id for answer in answers] == ["first", "second", "third", "fourth"]
    assert [answer.failure is None for answer in answers] == [True, True, False, True]
    assert alone == ["second"]
    assert "SIGKILL" in msgspec.json.decode(answers[1].crash)["partial"]


def test_nothing_to_triage_is_said_and_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place, said in (
        ("empty", "no core and no fatal error log was found"),
        ("nothing", "No such file or directory"),
    ):
        made = CliRunner().invoke(cli, ["triage", str(tmp_path / place), "-o", str(tmp_path / f"{place}.out")])
        assert made.exit_code == 3
        assert said in made.stderr
