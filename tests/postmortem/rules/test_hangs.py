"""What the threads of a process that another one ended, or that still lives, were doing."""

from __future__ import annotations

import re

import msgspec
import pytest

from postmortem import Options, analyze
from postmortem.model import Report, Wait
from postmortem.model.report import Goroutines, NativeFacts, RuntimeState
from postmortem.rules.engine import run
from postmortem.signature.signature import signature
from tests.postmortem import corpus
from tests.postmortem.rules.reports import crashed, findings, joining, report, thread, waiting


def _corpus(name: str) -> Report:
    if not (core := corpus.directory() / name / "core").exists():
        pytest.skip(f"case {name} was not built")
    return analyze(core, Options(cache_dir=None))


def test_threads_that_run_and_waiters_of_both_groups_of_a_condition_variable() -> None:
    found = _corpus("spinning-worker")
    (finding,) = findings(found, "killed-by-signal")
    words = {thread.wait.address for thread in found.threads if thread.wait and thread.wait.kind == "condvar"}
    futexes = {thread.registers["rdi"] for thread in found.threads if thread.wait and thread.wait.kind == "condvar"}
    assert (len(words), len(futexes)) == (1, 2)
    assert "3 wait for the condition variable at 0x" in finding.explanation
    assert "1 of 5 threads was running, in no system call (in take(), spinning_worker.c:" in finding.explanation
    assert any(item.value == "take" for item in finding.evidence)
    assert any("still runs in the same function" in remedy for remedy in finding.remedies)


def test_futures_that_all_workers_wait_for() -> None:
    (finding,) = findings(_corpus("starved-pool"), "killed-by-signal")
    assert "3 of 3 threads wait, each for the result of another std::future" in finding.explanation
    assert re.search(r"render\(\), starved_pool\.cpp:\d+", finding.explanation)


def _semaphore(tid: int, address: int | None) -> Wait:
    from postmortem.model import Address

    return Wait(syscall="futex", kind="semaphore", address=None if address is None else Address(address))


@pytest.mark.parametrize(
    ("threads", "told"),
    [
        (
            tuple(thread("sem_wait", f"take_{n}", tid=n, wait=_semaphore(n, n << 12)) for n in (1, 2, 3)),
            " 3 of 3 threads wait, each for another semaphore (in take_1(), take_2(), take_3()).",
        ),
        (
            tuple(thread("sem_wait", "take", tid=n, wait=_semaphore(n, a)) for n, a in ((1, 16), (2, 16), (3, 32))),
            " 2 of 3 threads wait for the semaphore at 0x10 (in take()); 1 waits for the semaphore at 0x20 (in"
            " take()).",
        ),
        (
            tuple(thread("sem_wait", tid=n, wait=_semaphore(n, None)) for n in (1, 2)),
            " 2 of 2 threads wait for a semaphore or another.",
        ),
        (
            (thread("scan", tid=1, registers={"rax": 0}), joining(2, 1), waiting(3, 0x1000, 1)),
            " 1 of 3 threads was running, in no system call (in scan()); 1 waits for the end of thread 1 (in"
            " worker_2()); 1 waits for the mutex at 0x1000 (in worker_3()).",
        ),
        (
            (thread("poll", "serve", tid=1, wait=Wait(syscall="poll", kind="syscall")),),
            " 1 thread is in the system call poll (in serve()).",
        ),
        ((thread("scan", tid=1),), "doing."),
    ],
)
def test_a_snapshot_tells_what_the_threads_do(threads: tuple[object, ...], told: str) -> None:
    (finding,) = findings(crashed(19, 128, threads=threads), "snapshot")
    assert finding.explanation.endswith(told)


def test_a_circle_with_a_wait_that_has_a_time_limit_is_not_certain() -> None:
    ever = (waiting(1, 0x1000, 2), waiting(2, 0x2000, 1))
    (finding,) = findings(report(threads=ever), "mutex-deadlock")
    assert (finding.confidence, finding.rivals) == ("certain", ())
    wait = ever[0].wait
    assert wait is not None
    limited = msgspec.structs.replace(ever[0], wait=msgspec.structs.replace(wait, timed=True))
    (finding,) = findings(report(threads=(limited, ever[1])), "mutex-deadlock")
    assert finding.confidence == "likely"
    assert "time limit" in finding.explanation
    assert len(finding.rivals) == 1
    (finding,) = findings(_corpus("timed-locks"), "mutex-deadlock")
    assert finding.confidence == "likely"


def test_the_advice_for_a_single_thread_that_runs_is_no_search_for_waits() -> None:
    runs = crashed(19, 128, threads=(thread("find", tid=1, registers={"rip": 0}),))
    (finding,) = findings(runs, "snapshot")
    assert len(finding.remedies) == 1
    assert "second snapshot" in finding.remedies[0]
    assert findings(report(threads=(thread("main"),)), "snapshot")[0].confidence == "possible"


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("panic: assignment to entry in nil map", "or recover where"),
        ("fatal error: all goroutines are asleep - deadlock!", "who was to do the other half"),
        ("fatal error: concurrent map writes", "sync.Map"),
        ("fatal error: out of memory", "can't be recovered from"),
    ],
)
def test_what_to_do_about_an_error_of_gos_run_time(message: str, advice: str) -> None:
    goroutines = (
        Goroutines(count=3, ids=(6, 7, 8), state="waiting", reason="chan send", function="main.(*stage).run", line=12),
        Goroutines(count=1, ids=(1,), state="waiting", function="main.main", file="/src/main.go", line=31),
        Goroutines(count=1, ids=(9,), state="runnable", function="main.log"),
    )
    found = crashed(
        6,
        -6,
        sender=100,
        threads=(thread("runtime.raise", "runtime.fatal", "runtime.checkdead"),),
        native=NativeFacts(runtime="Go", runtime_message=message),
        runtimes=(RuntimeState(name="Go", goroutines=goroutines),),
    )
    (finding,) = findings(found, "go-fatal")
    assert advice in finding.remedies[0]
    assert "recover where" not in " ".join(finding.remedies) or message.startswith("panic")
    if "asleep" in message:
        assert finding.title == (
            "Go: all goroutines are asleep - deadlock!: 3 goroutines in main.(*stage).run() (chan send); goroutine 1 in"
            " main.main(), main.go:31"
        )


def test_the_signature_of_goroutines_that_are_all_asleep() -> None:
    groups = tuple(
        Goroutines(count=count, ids=(count,), state="waiting", function=name)
        for count, name in ((3, "main.(*stage).run"), (1, "main.main"))
    )
    found = crashed(
        6,
        -6,
        sender=100,
        threads=(thread("runtime.raise", "runtime.fatal", "runtime.checkdead"),),
        native=NativeFacts(runtime="Go", runtime_message="fatal error: all goroutines are asleep - deadlock!"),
        runtimes=(RuntimeState(name="Go", goroutines=groups),),
    )
    assert signature(run(found, strict=True)).frames == ("main.(*stage).run", "main.main")
