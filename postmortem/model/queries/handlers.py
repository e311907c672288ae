"""Threads that wait in a handler of a signal for what the interrupted code holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import culprit
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import Lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from postmortem.model import Frame, Report, Thread

_ALLOCATOR = Lazy(
    r"_*(?:libc_)?(?:malloc|calloc|realloc|free|cfree|memalign|aligned_alloc|mallopt|malloc_trim)"
    r"|_int_(?:malloc|free|realloc|memalign)\w*|arena_get2|tcache_\w+|sysmalloc|systrim|malloc_consolidate|unlink_chunk"
)
_INNER = 6


class Handling(NamedTuple):
    """Indices of the handler's outermost frame and of the function to name that it interrupted; words: ", in the
    handler on_alarm(), which had interrupted store(), cache.c:12"."""

    handler: int
    interrupted: int
    words: str


def waiting_in_handler(thread: Thread) -> Handling | None:
    """The handler of a signal that a thread waits in."""
    at = next((index for index, frame in enumerate(thread.frames) if frame.kind == "signal"), None)
    if at is None or at == 0 or any(frame.trust == "scan" for frame in thread.frames[: at + 2]):
        return None
    named = culprit.first(thread.frames[at + 1 :])
    if named is None:
        return None
    handler = thread.frames[at - 1]
    words = f", in the signal handler {culprit.label(handler)}, which had interrupted {culprit.label(named[1])}"
    return Handling(at - 1, at + 1 + named[0], words)


def in_allocator(report: Report) -> Iterator[tuple[int, Handling]]:
    """(index, handler) of the threads that wait for an allocator's lock in a handler that interrupted the allocator."""
    for index, thread in enumerate(report.threads):
        wait = thread.wait
        if wait is None or wait.kind not in ("futex", "mutex") or wait.owner or wait.settled is False:
            continue
        found = waiting_in_handler(thread)
        if found is None:
            continue
        at = found.handler + 1
        if _allocates(thread.frames[: min(at, _INNER)]) and _allocates(thread.frames[at + 1 : found.interrupted + 1]):
            yield index, found


def _allocates(frames: Sequence[Frame]) -> bool:
    names = (name for frame in frames for name in (frame.function, frame.entered) if name is not None)
    return any(_ALLOCATOR.fullmatch(plain(name)) for name in names)
