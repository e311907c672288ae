"""What happens in a worker stays there: deaths, hangs, floods, and what it must not be able to do."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from postmortem.errors import AnalysisError
from postmortem.guard import Job, Link, WorkerLimits, landlock, run, syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.guard import Outcome

LIMITS = WorkerLimits(seconds=30, memory=1 << 30, output=1 << 24)


def _nothing() -> None:
    return


def _run(work: Callable[[Link], None], limits: WorkerLimits = LIMITS, writable: tuple[Path, ...] = ()) -> Outcome:
    return run(Job(prepare=_nothing, work=work, readable=(), writable=writable), limits)


def _landlock() -> bool:
    try:
        return syscalls.call(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1)) >= 1
    except OSError:
        return False


needs_landlock = pytest.mark.skipif(not _landlock(), reason="the kernel has no Landlock")


def test_what_it_made_comes_whole() -> None:
    large = os.urandom(3_000_000)

    def work(link: Link) -> None:
        link.stage("first")
        link.part("small", b"")
        link.part("large", large)
        link.stage("last")

    outcome = _run(work)
    assert outcome.end is None
    assert outcome.stage == "last"
    assert outcome.parts == {"small": b"", "large": large}


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGKILL])
def test_a_death_is_told_with_its_stage(number: signal.Signals) -> None:
    def work(link: Link) -> None:
        link.part("before", b"1")
        link.stage("deadly")
        os.kill(os.getpid(), number)

    outcome = _run(work)
    assert outcome.end is not None
    assert (outcome.end.cause, outcome.end.signal) == ("signal", number)
    assert number.name in outcome.end.words
    assert outcome.stage == "deadly"
    assert outcome.parts == {"before": b"1"}


def test_a_wild_read_is_a_death() -> None:
    def wild(link: Link) -> None:
        ctypes.string_at(8)

    outcome = _run(wild)
    assert outcome.end is not None and outcome.end.signal == signal.SIGSEGV


def test_time_ends_a_busy_and_a_sleeping_worker() -> None:
    def busy(link: Link) -> None:
        while True:
            pass

    for work in (busy, lambda link: time.sleep(60)):
        outcome = _run(work, WorkerLimits(seconds=0.3))
        assert outcome.end is not None and outcome.end.cause == "time"


def test_memory_ends_it() -> None:
    outcome = _run(lambda link: link.part("x", bytes(3 << 30)))
    assert outcome.end is not None and outcome.end.cause == "memory"


def test_a_flood_of_output_ends_it() -> None:
    def work(link: Link) -> None:
        while True:
            link.part("flood", bytes(1 << 20))

    outcome = _run(work)
    assert outcome.end is not None and outcome.end.cause == "output"


def test_what_is_no_message_ends_it() -> None:
    def work(link: Link) -> None:
        os.write(link._descriptor, b"\xff" * 4096)
        time.sleep(60)

    outcome = _run(work)
    assert outcome.end is not None and outcome.end.cause == "error"


def test_a_closed_pipe_does_not_let_it_live_on() -> None:
    def work(link: Link) -> None:
        os.close(link._descriptor)
        time.sleep(60)

    start = time.monotonic()
    outcome = _run(work)
    assert outcome.end is not None
    assert time.monotonic() - start < 30


def test_errors_are_told_apart() -> None:
    def refuses(link: Link) -> None:
        raise AnalysisError("why", "hint")

    def fails(link: Link) -> None:
        raise KeyError("lost")

    refused = _run(refuses)
    assert refused.end is None and refused.refused is not None
    assert (str(refused.refused), refused.refused.hint) == ("why", "hint")
    failed = _run(fails)
    assert failed.end is not None and failed.end.cause == "error"
    assert "KeyError" in failed.end.words
    assert failed.end.detail.startswith("test_worker.py:")


def _connect(link: Link) -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1)


def _execute(link: Link) -> None:
    os.execv("/bin/true", ["true"])


def _fork(link: Link) -> None:
    if os.fork() == 0:
        os._exit(0)


def _kill_parent(link: Link) -> None:
    os.kill(os.getppid(), signal.SIGTERM)


def _chmod(link: Link) -> None:
    Path(__file__).chmod(0o644)


@pytest.mark.parametrize("work", [_connect, _execute, _fork, _kill_parent, _chmod])
def test_what_seccomp_refuses(work: Callable[[Link], None]) -> None:
    outcome = _run(work)
    if any(what.startswith("seccomp") for what in outcome.missing):
        pytest.skip(outcome.missing[0])
    assert outcome.end is not None
    assert "PermissionError" in outcome.end.words


@needs_landlock
def test_files_are_confined(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "secret").write_text("x")

    def work(link: Link) -> None:
        (tmp_path / "open" / "new").write_text("y")
        for act in (
            lambda: (tmp_path / "closed" / "secret").read_text(),
            lambda: (tmp_path / "closed" / "secret").unlink(),
            lambda: (tmp_path / "closed" / "new").write_text("z"),
            lambda: (tmp_path / "open" / "link").symlink_to("/etc"),
        ):
            with pytest.raises(PermissionError):
                act()

    outcome = _run(work, writable=(tmp_path / "open",))
    assert outcome.end is None, outcome.end
    assert (tmp_path / "open" / "new").read_text() == "y"
    assert [entry.name for entry in (tmp_path / "closed").iterdir()] == ["secret"]


def test_it_holds_no_socket_no_terminal_and_dumps_no_core() -> None:
    held = socket.socket()

    def work(link: Link) -> None:
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        assert os.getsid(0) == os.getpid()
        assert not os.isatty(0)
        with pytest.raises(OSError):
            os.fstat(held.fileno())

    try:
        outcome = _run(work)
    finally:
        held.close()
    assert outcome.end is None, outcome.end


def test_threads_work_in_it() -> None:
    def work(link: Link) -> None:
        thread = threading.Thread(target=lambda: link.part("by", b"thread"))
        thread.start()
        thread.join()

    assert _run(work).parts == {"by": b"thread"}


def test_a_kernel_without_landlock_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> str:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(landlock, "restrict", refuse)
    outcome = _run(lambda link: link.part("a", b"b"))
    assert outcome.end is None
    assert outcome.missing[0] == "Landlock (Function not implemented)"
    assert outcome.parts == {"a": b"b"}


def test_a_stage_has_its_own_time() -> None:
    """Only one that a report can do without: what comes before and behind it is not counted."""

    def work(link: Link) -> None:
        link.stage("open")
        time.sleep(0.4)
        link.stage("symbols")
        time.sleep(30)

    limits = WorkerLimits(seconds=20, stage_seconds=0.3)
    start = time.monotonic()
    outcome = run(Job(prepare=_nothing, work=work, limited=frozenset(["symbols"])), limits)
    assert time.monotonic() - start < 10
    assert outcome.stage == "symbols"
    assert outcome.end is not None
    assert (outcome.end.cause, outcome.end.words) == ("time", "used up the 0.3 s of a stage")


def test_notices_and_progress_are_passed_on() -> None:
    told: list[object] = []

    def work(link: Link) -> None:
        link.notice("begins")
        link.progress(1, 2)
        link.progress(2, 2)

    run(
        Job(prepare=_nothing, work=work, notice=told.append, progress=lambda done, total: told.append((done, total))),
        LIMITS,
    )
    assert told == ["begins", (1, 2), (2, 2)]
