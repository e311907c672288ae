"""A run: find, analyze, store, put into buckets, write.

Everything is kept as soon as it is known, by the identity of its input: a run that was killed is taken up by the next
one, which analyzes what is missing. Reports are written before the store says that they are there.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import deque
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from postmortem import __version__
from postmortem.model.triage import Crash, Failure, Inputs, Triage
from postmortem.triage import store as stores
from postmortem.triage.buckets import assign, changes
from postmortem.triage.executors import executor
from postmortem.triage.files import put
from postmortem.triage.inputs import SMALL, Input, Skipped, find
from postmortem.triage.known import update
from postmortem.triage.news import News
from postmortem.triage.renew import renew
from postmortem.triage.scratch import scratch
from postmortem.triage.summary import summarize
from postmortem.triage.work import Answer, Task, analyze

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Executor, Future
    from pathlib import Path

    from postmortem.triage.buckets import Change
    from postmortem.triage.store import Store

REPORTS = "reports"
_BATCH = 64
_BATCH_SECONDS = 2.0
_TRIES = 5
"""How often an input is tried whose executor broke: one that can't be blamed for it must not be lost."""
_TOGETHER = 16
_LISTED = 1000
"""Skipped inputs and failures that are listed; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do. options: of pipeline.Options, by name."""

    places: tuple[str, ...]
    output: Path
    store: str | None = None
    jobs: int | None = None
    cluster: str | None = None
    host_pattern: re.Pattern[str] | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 600.0
    memory: int = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """triage: for triage.json; change: what this run made new, with `news` of killed ones."""

    triage: Triage
    change: Change
    news: News | None = None

    def told(self) -> None:
        """All of it was written and said."""
        if self.news is not None:
            self.news.told()


class Watcher:
    """Told how a run goes; this one does not care."""

    def found(self, total: int) -> None:
        """How many inputs have been found so far."""

    def done(self, number: int, failed: int) -> None:
        """How many analyses are done, and how many of them failed."""

    def say(self, words: str) -> None:
        """Something to know."""


def run(plan: Plan, watcher: Watcher | None = None) -> Done:
    """Raises AnalysisError when the store or the cluster can't be had, OSError when the output can't be written."""
    watcher = watcher or Watcher()
    reports = plan.output / REPORTS
    reports.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    news = News(plan.output, name)
    with stores.opened(stores.url_of(plan.store, plan.output), watcher.say) as store:
        renew(store, plan.output, watcher.say)
        with scratch(plan.output) as folder:
            inputs = _Collected(store, plan, name, folder, watcher)
            inputs.analyze()
        update(store, plan.output, inputs.again, inputs.places)
        store.transaction(lambda connection: assign(connection, name))
        change = store.transaction(lambda connection: changes(connection, *news.runs))
        triage = store.transaction(lambda connection: summarize(connection, plan.output, change))
        results = inputs.results()
        counts = inputs.counts()
    failures, skipped = results
    triage = msgspec.structs.replace(
        triage,
        tool_version=__version__,
        inputs=counts,
        failures=tuple(failures[:_LISTED]),
        skipped=tuple(skipped[:_LISTED]),
    )
    return Done(triage=triage, change=change, news=news)


@dataclass(slots=True)
class _Collected:
    """The inputs of a run, and what has become of them."""

    store: Store
    plan: Plan
    run: str
    scratch: Path
    watcher: Watcher
    before: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    """id → where it was found first."""
    skipped: list[Failure] = field(default_factory=list)
    failed: dict[str, Failure] = field(default_factory=dict)
    unreadable: list[Failure] = field(default_factory=list)
    analyzed: set[str] = field(default_factory=set)
    known: int = 0
    again: dict[str, Input] = field(default_factory=dict)
    """id → an input that was dealt with before."""
    places: set[str] = field(default_factory=set)
    retry: deque[Task] = field(default_factory=deque)
    tries: dict[str, int] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    written: float = 0.0

    def analyze(self) -> None:
        """All inputs, a window of them at a time; what was under way when an executor broke, in a new one."""
        self.before = self.store.known()
        tasks = self._tasks()
        while True:
            with executor(self.plan.jobs, self.plan.cluster) as pool:
                broken = self._through(pool, tasks)
            if not broken:
                return
            for task in broken:
                self.tries[task.id] = self.tries.get(task.id, 1) + 1
                if self.tries[task.id] > _TRIES:
                    what = f"the process that ran its worker died {_TRIES} times"
                    self._take(Answer(id=task.id, shown=task.shown, failure=what, lost=True))
                else:
                    self.retry.append(task)
            self.watcher.say(f"a process of the pool died; {len(self.retry)} analyses are done again")

    def _through(self, pool: Executor, tasks: Iterator[Task]) -> list[Task]:
        """Until there are no more tasks, or the executor breaks: then the tasks that were under way."""
        window = 3 * (self.plan.jobs or os.cpu_count() or 1) if self.plan.cluster is None else 256
        running: dict[Future[tuple[Answer, ...]], tuple[Task, ...]] = {}
        broken: list[Task] = []
        exhausted = False
        self.written = time.monotonic()
        while True:
            while not exhausted and len(running) < window and not broken:
                batch = self._batch(tasks)
                if not batch:
                    exhausted = True
                    break
                try:
                    running[pool.submit(analyze, batch)] = batch
                except BrokenExecutor:
                    broken.extend(batch)
            if not running:
                break
            finished, _ = wait(running, return_when=FIRST_COMPLETED, timeout=_BATCH_SECONDS)
            for future in finished:
                batch = running.pop(future)
                try:
                    for answer in future.result():
                        self._take(answer)
                except (BrokenExecutor, CancelledError):
                    broken.extend(batch)
                except Exception as error:  # an engine has its own ways to say that work was lost
                    for task in batch:
                        what = f"its analysis was lost: {error}"
                        self._take(Answer(id=task.id, shown=task.shown, failure=what, lost=True))
            self._write(every=False)
        self._write(every=True)
        return broken

    def _batch(self, tasks: Iterator[Task]) -> tuple[Task, ...]:
        """Small inputs together, which share what starting a worker costs; a large one by itself."""
        batch: list[Task] = []
        while len(batch) < _TOGETHER:
            task = self.retry.popleft() if self.retry else next(tasks, None)
            if task is None:
                break
            alone = task.size > SMALL or task.id in self.tries
            if alone and batch:
                self.retry.appendleft(task)
                break
            batch.append(task)
            if alone:
                break
        return tuple(batch)

    def _tasks(self) -> Iterator[Task]:
        number = 0
        for item in find(
            self.plan.places, self.scratch, self._is_known, self.plan.host_pattern, self.plan.output, self.watcher.say
        ):
            if isinstance(item, Skipped):
                (self.unreadable if item.failed else self.skipped).append(Failure(path=item.shown, what=item.why))
                continue
            self.places.add(item.shown)
            if item.id in self.seen:
                self.skipped.append(Failure(path=item.shown, what=f"is the same as {self.seen[item.id]}"))
                continue
            self.seen[item.id] = item.shown
            number += 1
            self.watcher.found(number)
            state = self.before.get(item.id)
            if state is not None:
                self._was_known(item, *state)
                continue
            yield Task(
                id=item.id, path=item.path.absolute(), shown=item.shown, report=f"{REPORTS}/{item.id}.json",
                size=item.size, facts=item.facts, options=self.plan.options, seconds=self.plan.seconds,
                memory=self.plan.memory, url=item.url,
            )  # fmt: skip

    def _is_known(self, identity: str) -> bool:
        return identity in self.before or identity in self.seen

    def _was_known(self, item: Input, state: str, what: str | None) -> None:
        self.again[item.id] = item
        if state == "failed":
            self.failed[item.id] = Failure(path=item.shown, what=what or "")
            return
        self.analyzed.add(item.id)
        if state != "paired":  # the log of a core counts with its core
            self.known += 1

    def _take(self, answer: Answer) -> None:
        self.answers.append(answer)
        if answer.failure is None:
            put(self.plan.output / REPORTS / f"{answer.id}.json", answer.document)
            self.analyzed.add(answer.id)
        else:
            self.failed[answer.id] = Failure(path=answer.shown, what=answer.failure)
        self.watcher.done(len(self.analyzed) + len(self.failed), len(self.failed))

    def _write(self, every: bool) -> None:
        """Into the store, some at a time."""
        if not self.answers:
            return
        if not every and len(self.answers) < _BATCH and time.monotonic() - self.written < _BATCH_SECONDS:
            return
        self.store.add(
            self.run,
            [msgspec.json.decode(answer.crash, type=Crash) for answer in self.answers if answer.failure is None],
            [(a.id, a.shown, a.failure) for a in self.answers if a.failure is not None and not a.lost],
        )
        self.answers.clear()
        self.written = time.monotonic()

    def results(self) -> tuple[list[Failure], list[Failure]]:
        """(inputs without a report, inputs that are no crash or one that is known under another name)."""
        paired = [Failure(path=self.seen[key], what=what) for key, what in self._paired().items()]
        failures = [*self.failed.values(), *self.unreadable]
        by_path: Callable[[Failure], str] = lambda failure: failure.path  # noqa: E731
        return sorted(failures, key=by_path), sorted([*self.skipped, *paired], key=by_path)

    def _paired(self) -> dict[str, str]:
        now = self.store.known() if self.seen else {}
        return {key: now[key][1] or "" for key in self.seen if now.get(key, ("", None))[0] == "paired"}

    def counts(self) -> Inputs:
        """How many inputs of each kind."""
        paired = len(self._paired())
        analyzed, failed = len(self.analyzed) - paired, len(self.failed) + len(self.unreadable)
        skipped = len(self.skipped) + paired
        return Inputs(
            found=analyzed + failed + skipped, analyzed=analyzed, skipped=skipped, failed=failed, known=self.known
        )
