"""The VM's list of its threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.runtimes.hotspot.layout.reading import Reading

    Progress = Callable[[int, int], None]


_MAX_THREADS = LIMITS.list_threads


def java_threads(vm: Reading) -> Iterator[int]:
    """All JavaThread*: ThreadsList (11 and newer where exported), else the linked list."""
    threads = vm.static_word("ThreadsSMRSupport._java_thread_list")
    array, count = vm.field(threads, "ThreadsList._threads"), vm.u32(vm.at(threads, "ThreadsList._length"))
    if array and count is not None:
        if count > _MAX_THREADS:
            vm.memory.budget.miss("list_threads", count - _MAX_THREADS)
        yield from (word for word in vm.memory.words(array, min(count, _MAX_THREADS)) or () if word)
        return
    thread = vm.static_word("Threads._thread_list")
    seen: set[int] = set()
    while thread and thread not in seen and len(seen) < _MAX_THREADS:
        seen.add(thread)
        yield thread
        thread = vm.field(thread, "JavaThread._next")
    if thread and thread not in seen:
        vm.memory.budget.miss("list_threads")
