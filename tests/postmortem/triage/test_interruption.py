"""Workers and the main process killed half way, a cluster that loses a worker, a server that is restarted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from postmortem.model.triage import Inputs
from postmortem.triage import run as runs
from postmortem.triage import store as stores
from postmortem.triage.run import Plan, Watcher
from tests.postmortem.triage.logs import many

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.corpus  # for the time that it takes

COUNT = 40
PATIENCE = 300.0


def started(place: Path, output: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "postmortem", "triage", str(place), "-o", str(output), "--jobs", "2", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def await_reports(output: Path, least: int, process: subprocess.Popen[bytes]) -> None:
    """Until so many reports are there, or the run is over."""
    until = time.monotonic() + PATIENCE
    while len(list((output / "reports").glob("*.json"))) < least and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def interrupted(place: Path, delay: float, disposition: signal.Handlers) -> tuple[int, bytes]:
    """(exit code, stderr) of a run all of whose processes get SIGINT, of which the caller has left this disposition."""
    many(place / "in", COUNT)
    command = [sys.executable, "-m", "postmortem", "triage", str(place / "in"), "-o", str(place / "out")]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, disposition),
    )  # fmt: skip
    until = time.monotonic() + PATIENCE
    while len(descendants(process.pid)) < 2 and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.4, 1.5])
def test_ctrl_c_is_one_line(delay: float, tmp_path: Path) -> None:
    """A terminal sends SIGINT to all processes; those of the pool import what Python would print tracebacks of."""
    ended = interrupted(tmp_path, delay, signal.SIG_DFL)
    assert ended in ((130, b"postmortem: interrupted\n"), (0, b""))


@pytest.mark.parametrize("delay", [0.4, 1.5])
def test_what_the_caller_ignores_stays_ignored(delay: float, tmp_path: Path) -> None:
    """A shell starts what runs in the background so."""
    assert interrupted(tmp_path, delay, signal.SIG_IGN) == (0, b"")


def told(output: Path) -> dict[str, Any]:
    """triage.json without what differs between runs by nature."""
    read: dict[str, Any] = json.loads((output / "triage.json").read_bytes())
    read["inputs"].pop("known")
    for bucket in read["buckets"]:
        bucket.pop("status"), bucket.pop("grew")
    return read


def expected(place: Path, output: Path) -> dict[str, Any]:
    assert started(place, output).wait(PATIENCE) == 0
    read = told(output)
    assert read["inputs"] == {"found": COUNT, "analyzed": COUNT, "skipped": 0, "failed": 0}
    assert [bucket["count"] for bucket in read["buckets"]] == [COUNT]
    return read


def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    place = many(tmp_path / "logs", COUNT)
    reference = expected(place, tmp_path / "reference")
    output = tmp_path / "out"
    process = started(place, output)
    await_reports(output, 4, process)
    for pid in descendants(process.pid)[1:]:  # all below the server that forks them
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    await_reports(output, 12, process)
    below = descendants(process.pid)
    process.kill()
    process.wait()
    until = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{pid}").exists() for pid in below):
        assert time.monotonic() < until, "processes of a run that was killed live on"
        time.sleep(0.1)
    assert started(place, output).wait(PATIENCE) == 0
    assert told(output) == reference


def test_a_cluster_gives_the_same_and_survives_the_loss_of_a_worker(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    place = many(tmp_path / "logs", COUNT)
    reference = expected(place, tmp_path / "reference")
    scheduler = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(scheduler)]
    worker += [
        "--host",
        "127.0.0.1",
        "--nthreads",
        "1",
        "--no-dashboard",
        "--local-directory",
        str(tmp_path),
        "--no-nanny",
    ]
    processes = [
        subprocess.Popen([*dask, "--no-dashboard", "--scheduler-file", str(scheduler)], **quiet)  # type: ignore[call-overload]
    ]
    try:
        until = time.monotonic() + PATIENCE
        while not scheduler.exists() or not scheduler.stat().st_size:
            assert time.monotonic() < until and processes[0].poll() is None
            time.sleep(0.1)
        address = json.loads(scheduler.read_bytes())["address"]
        processes += [subprocess.Popen(worker, **quiet) for _ in range(2)]  # type: ignore[call-overload]
        output = tmp_path / "out"
        process = started(place, output, "--cluster", address)
        await_reports(output, 6, process)
        processes[1].kill()
        assert process.wait(PATIENCE) == 0
        assert told(output) == reference
    finally:
        for running in processes:
            running.kill()
            running.wait()


class Told(Watcher):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def say(self, words: str) -> None:
        self.words.append(words)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """(URL, function that runs pg_ctl) of a PostgreSQL server on a socket of its own."""
    pytest.importorskip("psycopg")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs or os.geteuid() != 0 or shutil.which("runuser") is None:
        if os.environ.get("POSTMORTEM_ALL_TESTS") and not programs:
            pytest.fail("postgresql is not installed")
        pytest.skip("needs PostgreSQL and root, to become its user")
    home = Path("/tmp") / f"pm-pg-{os.getpid()}"  # a socket's path has to be short
    home.mkdir(mode=0o700)
    shutil.chown(home, "postgres", "postgres")

    def control(*arguments: str) -> None:
        command = ["runuser", "-u", "postgres", "--", str(programs[-1].with_name("pg_ctl")), "-D", f"{home}/data"]
        options = f"-k {home} -c listen_addresses='' -c fsync=off"
        log = f"{home}/log"
        subprocess.run([*command, "-w", "-l", log, "-o", options, *arguments], check=True, capture_output=True, cwd="/")

    init = ["runuser", "-u", "postgres", "--", str(programs[-1]), "-D", f"{home}/data", "-A", "trust", "--no-sync"]
    try:
        subprocess.run(init, check=True, capture_output=True, cwd="/")
        control("start")
        yield f"postgresql://postgres@/postgres?host={home}", control
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            control("-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)


def test_two_runs_on_one_server_that_is_restarted(server: tuple[str, Any], tmp_path: Path) -> None:
    url, control = server
    place = many(tmp_path / "logs", COUNT)
    results: dict[str, runs.Done] = {}
    watchers = {name: Told() for name in ("one", "two")}

    def work(name: str) -> None:
        plan = Plan(places=(str(place),), output=tmp_path / name, store=url, jobs=1)
        results[name] = runs.run(plan, watchers[name])

    with stores.opened(stores.url_of(url, tmp_path), lambda words: None):
        pass  # alembic's context is of the whole process: only here threads stand for runs
    threads = [threading.Thread(target=work, args=(name,)) for name in watchers]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE
    while not list(tmp_path.glob("*/reports/*.json")):
        assert time.monotonic() < until
        time.sleep(0.05)
    control("-m", "immediate", "stop")
    time.sleep(4.0)
    control("start")
    for thread in threads:
        thread.join(PATIENCE)
    assert set(results) == {"one", "two"}
    for done in results.values():
        assert [bucket.count for bucket in done.triage.buckets] == [COUNT]
        assert msgspec.structs.replace(done.triage.inputs, known=0) == Inputs(found=COUNT, analyzed=COUNT)
    assert sorted(len(done.change.new) for done in results.values()) == [0, 1]
    words = [line for watcher in watchers.values() for line in watcher.words]
    assert any(line.startswith("the store does not answer") for line in words), words
    assert "the store answers again" in words
