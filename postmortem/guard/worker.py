"""A job done by a child process that can be killed by its input without harm to anybody else.

The child is forked, gives up what it does not need, works, and sends what it made through a pipe. The parent moves
bytes and watches the clock; it never looks into the input. On the pipe: kind u8, length u64 little-endian, content.
The bytes of a remote input the child asks its parent for; a second pipe says by a u32 that they are there.
"""

from __future__ import annotations

import errno
import faulthandler
import os
import select
import signal
import struct
import time
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from postmortem import interruption
from postmortem.errors import AnalysisError
from postmortem.guard.confinement import confine, leave_parent
from postmortem.guard.limits import WorkerLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEAD = struct.Struct("<BQ")
_STAGE, _PROGRESS, _PART, _REFUSED, _FAILED, _MEMORY, _CONFINED, _NOTICE, _WANTED, _DONE = range(1, 11)
_NUMBERS = struct.Struct("<QQ")
_REPLY = struct.Struct("<I")
_BLOCK = 1 << 20
_LONGEST_WORDS = 1 << 16

Cause = Literal["signal", "time", "memory", "output", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """prepare: what has to be imported, before confinement. work: reads the input, and hands over what it made.

    readable, writable: the files and folders that the work needs beside the interpreter's own. limited: the stages that
    have limits.stage_seconds. progress, notice: told what the work tells. supply: as in targets.watch.Watch; what the
    parent needs for it is not the worker's time.
    """

    prepare: Callable[[], None]
    work: Callable[[Link], None]
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    limited: frozenset[str] = frozenset()
    progress: Callable[[int, int], None] | None = None
    notice: Callable[[str], None] | None = None
    supply: Callable[[int, int], int] | None = None


@dataclass(frozen=True, slots=True)
class End:
    """Why a worker ended before its work did. detail: where its own code was, when it knows."""

    cause: Cause
    words: str
    detail: str = ""
    signal: int | None = None


@dataclass(slots=True)
class Outcome:
    """parts: what was handed over. end: None when the work was done. stage: the last one begun.

    refused: the AnalysisError that the work raised. in_force, missing: the confinement. memory: the most resident, in
    bytes.
    """

    parts: dict[str, bytes] = field(default_factory=dict)
    end: End | None = None
    refused: AnalysisError | None = None
    stage: str = "start"
    in_force: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    memory: int = 0


class Link:
    """The worker's end: stages begun, progress, and the parts of the answer."""

    def __init__(self, descriptor: int, replies: int | None = None) -> None:
        self._descriptor = descriptor
        self._replies = replies
        self._shown = 0.0

    def send(self, kind: int, *contents: bytes | memoryview) -> None:
        """One message."""
        size = sum(len(content) for content in contents)
        data: list[bytes | memoryview] = [_HEAD.pack(kind, size), *contents]
        for piece in (b"".join(data),) if size < _BLOCK else data:
            view = memoryview(piece)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def stage(self, name: str) -> None:
        """The stage that now begins: the one that is lost if the worker dies."""
        self.send(_STAGE, name.encode())

    def progress(self, done: int, total: int) -> None:
        """How much of how much is done, at most twenty times a second."""
        now = time.monotonic()
        if now - self._shown > 0.05 or done == total:
            self._shown = now
            self.send(_PROGRESS, _NUMBERS.pack(done, total))

    def notice(self, words: str) -> None:
        """Said before something long begins."""
        self.send(_NOTICE, _text(words)[:_LONGEST_WORDS])

    @property
    def supply(self) -> Callable[[int, int], int] | None:
        """Asks the parent for bytes of the input, where it supplies them."""
        return None if self._replies is None else self._want

    def _want(self, offset: int, size: int) -> int:
        assert self._replies is not None
        self.send(_WANTED, _NUMBERS.pack(offset, size))
        reply = os.read(self._replies, _REPLY.size)
        return int(_REPLY.unpack(reply)[0]) if len(reply) == _REPLY.size else errno.EIO

    def part(self, name: str, content: bytes) -> None:
        """A part of the answer."""
        label = name.encode()
        self.send(_PART, bytes([len(label)]), label, content)


def run(job: Job, limits: WorkerLimits | None = None) -> Outcome:
    """Do the job in a worker. Raises OSError when none can be made; whatever happens to it is in the outcome."""
    limits = limits or WorkerLimits()
    ours, theirs = os.pipe()
    replies = os.pipe() if job.supply is not None else None
    parent = os.getpid()
    with _signals_held(), warnings.catch_warnings():
        # That a caller has threads is its own affair: the worker uses none of what they hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        worker = os.fork()
        if worker == 0:
            _work(job, limits, parent, (ours, theirs), replies)
        interruption.workers.add(worker)
    os.close(theirs)
    try:
        return _attend(worker, ours, job, limits, replies[1] if replies else None)
    finally:
        for descriptor in (ours, *(replies or ())):
            os.close(descriptor)
        interruption.workers.discard(worker)


@contextmanager
def _signals_held() -> Iterator[None]:
    """No signal between the birth of the worker and its being known, and none in it before its handlers are reset."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, interruption.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _work(
    job: Job, limits: WorkerLimits, parent: int, pipe: tuple[int, int], replies: tuple[int, int] | None
) -> NoReturn:
    """The life of the worker."""
    code = 1
    try:
        for number in interruption.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, interruption.SIGNALS)
        interruption.workers.clear()
        interruption.temporary.clear()
        os.close(pipe[0])
        if replies is not None:
            os.close(replies[1])
        faulthandler.disable()  # the parent tells of a death
        leave_parent(parent, limits)
        link = Link(pipe[1], replies[0] if replies else None)
        try:
            job.prepare()
            in_force, missing = confine(job.readable, job.writable)
            link.send(_CONFINED, "\n".join(in_force).encode(), b"\0", "\n".join(missing).encode())
            job.work(link)
            link.send(_DONE)
        except AnalysisError as error:
            link.send(_REFUSED, _text(str(error)), b"\0", _text(error.hint))
        except MemoryError:
            link.send(_MEMORY)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error}"[:2000]
            link.send(_FAILED, _text(words), b"\0", _text(f"{Path(where.filename).name}:{where.lineno}"))
        code = 0
    finally:
        # Never back into the parent's code, and no taking apart of what lives until here.
        os._exit(code)


def _text(words: str) -> bytes:
    return words.encode("utf-8", "backslashreplace").replace(b"\0", b"\\x00")


def _attend(worker: int, ours: int, job: Job, limits: WorkerLimits, replies: int | None) -> Outcome:
    """Take what the worker sends, and bring what it wants, until it ends or has used up its time."""
    outcome = Outcome()
    messages = _Messages(outcome, job)
    deadline = time.monotonic() + limits.seconds
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    over: End | None = None
    taken = 0
    try:
        while True:
            now = time.monotonic()
            left = deadline - now
            if left <= 0:
                over = End("time", f"used up its {limits.seconds:g} s")
                break
            if outcome.stage in job.limited:
                left = min(left, messages.began + limits.stage_seconds - now)
                if left <= 0:
                    over = End("time", f"used up the {limits.stage_seconds:g} s of a stage")
                    break
            if not poll.poll(left * 1000):
                continue
            data = os.read(ours, _BLOCK)
            if not data:
                break
            taken += len(data)
            if taken > limits.output:
                over = End("output", f"made more than {limits.output} bytes of output")
                break
            if not messages.take(data):
                over = End("error", "sent what is no message")
                break
            if messages.wanted is not None and replies is not None and job.supply is not None:
                began = time.monotonic()
                os.write(replies, _REPLY.pack(job.supply(*messages.wanted)))
                messages.wanted = None
                spent = time.monotonic() - began
                deadline += spent
                messages.began += spent
    finally:
        if over is not None or not messages.done:
            # At the end of its output it has ended, or is about to; one that only closed the pipe must not stay.
            _await_end(worker) if over is None else os.kill(worker, signal.SIGKILL)
        _, status, usage = os.wait4(worker, 0)
    outcome.memory = usage.ru_maxrss * 1024
    if over is not None:
        outcome.end = over
    elif not messages.done:
        outcome.end = messages.failure or _end_of(status, limits)
    return outcome


def _await_end(worker: int) -> None:
    """Wait a second for a worker that has closed its pipe to be gone, then kill it."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        if os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.005)
    os.kill(worker, signal.SIGKILL)


def _end_of(status: int, limits: WorkerLimits) -> End:
    if not os.WIFSIGNALED(status):
        return End("error", f"ended with exit status {os.waitstatus_to_exitcode(status)}")
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return End("time", f"used up its {limits.seconds:g} s of CPU time", signal=number)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    why = " (out of memory?)" if number == signal.SIGKILL else ""
    return End("signal", f"was killed by {name}{why}", signal=number)


class _Messages:
    """Takes the stream of messages apart."""

    def __init__(self, outcome: Outcome, job: Job) -> None:
        self._outcome = outcome
        self._progress, self._notice = job.progress, job.notice
        self.began = time.monotonic()
        self._pending = bytearray()
        self._wanted = _HEAD.size
        self.done = False
        self.wanted: tuple[int, int] | None = None
        self.failure: End | None = None

    def take(self, data: bytes) -> bool:
        """False when these are not messages that a worker of ours sends."""
        self._pending += data
        while len(self._pending) >= self._wanted:
            kind, size = _HEAD.unpack_from(self._pending)
            if kind < _STAGE or kind > _DONE or (kind != _PART and size > _LONGEST_WORDS):
                return False
            self._wanted = _HEAD.size + size
            if len(self._pending) < self._wanted:
                return True
            content = bytes(memoryview(self._pending)[_HEAD.size : self._wanted])
            del self._pending[: self._wanted]
            self._wanted = _HEAD.size
            self._message(kind, content)
        return True

    def _message(self, kind: int, content: bytes) -> None:
        outcome = self._outcome
        if kind == _PART:
            length = content[0] if content else 0
            outcome.parts[content[1 : 1 + length].decode("utf-8", "replace")] = content[1 + length :]
        elif kind == _STAGE:
            outcome.stage = content[:100].decode("utf-8", "replace")
            self.began = time.monotonic()
        elif kind == _NOTICE:
            if self._notice is not None:
                self._notice(content.decode("utf-8", "replace"))
        elif kind == _PROGRESS:
            if self._progress is not None and len(content) == _NUMBERS.size:
                self._progress(*_NUMBERS.unpack(content))
        elif kind == _WANTED:
            if len(content) == _NUMBERS.size:
                self.wanted = _NUMBERS.unpack(content)
        elif kind == _MEMORY:
            self.failure = End("memory", "ran out of the memory that it may use")
        elif kind == _DONE:
            self.done = True
        else:
            first, _, second = content.decode("utf-8", "replace").partition("\0")
            if kind == _REFUSED:
                outcome.refused = AnalysisError(first, second)
                self.done = True
            elif kind == _FAILED:
                self.failure = End("error", f"failed ({first})", second)
            else:
                outcome.in_force = tuple(first.splitlines())
                outcome.missing = tuple(second.splitlines())
