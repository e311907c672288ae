"""Where analyses run. Another engine is another row: anything that is a concurrent.futures.Executor."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import forkserver, resource_tracker
from types import ModuleType
from typing import TYPE_CHECKING

from postmortem.errors import AnalysisError
from postmortem.triage import work

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def processes(jobs: int | None) -> Iterator[Executor]:
    """Processes here, forked from a server that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(work.PRELOAD))
    _start_server()
    pool = ProcessPoolExecutor(jobs or os.cpu_count() or 1, mp_context=context, initializer=_begin)
    try:
        with _main_left_out():
            yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start_server() -> None:
    """With SIGINT blocked, as its processes have it until work.prepare(): a terminal sends Ctrl-C to them, too.

    Python's handler would end them with a traceback each, of whatever they import. This process ends them itself.
    """
    with _without_stderr():
        # Of a run that is interrupted it says what it cleans up. It unblocks SIGINT when it is started.
        resource_tracker.ensure_running()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextmanager
def _without_stderr() -> Iterator[None]:
    """What is started within has none of ours."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def _begin() -> None:
    """In a process of the pool, before its first analysis."""
    _end_with_parent()
    work.prepare()


def _end_with_parent() -> None:
    """SIGIO ends this process when the one that made the pool has ended, even by SIGKILL.

    Else it would wait for ever: it holds both ends of its queues. A thread that watches would live through the forks of
    analyses.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    if not parent.is_alive():
        os._exit(1)


@contextmanager
def _main_left_out() -> Iterator[None]:
    """Each process of the pool would run the main script again, whose main() need not be guarded: it has no use for it.

    Processes are made as work comes, so it stays away as long as the pool lives.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def dask(address: str) -> Iterator[Executor]:
    """The workers of a Dask cluster, which see the inputs under the same paths."""
    try:
        import dask.config as settings
        import distributed
    except ImportError:
        raise AnalysisError("--cluster needs Dask", "pip install 'postmortem[cluster]'") from None
    try:
        # Work lost with its worker is done again elsewhere. No input takes a worker with it, so many losses are fine.
        settings.set({"distributed.scheduler.allowed-failures": 10})
        client = distributed.Client(address, timeout="20s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{address}: no Dask scheduler answers: {error}", "start `dask scheduler`") from None
    try:
        client.run(work.prepare)
        yield client.get_executor(pure=False, retries=3)
    finally:
        client.close()


def executor(jobs: int | None, cluster: str | None) -> AbstractContextManager[Executor]:
    """The executor that was asked for."""
    return processes(jobs) if cluster is None else dask(cluster)
