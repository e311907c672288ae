"""Classes whose static initializers are running, by the lock that others wait on for their end.

Source: HotSpot share/oops/instanceKlass.{hpp,cpp} (initialize_impl) and share/classfile/javaClasses.hpp. While a class
is being initialized, InstanceKlass::_init_thread is the thread that does it, and any other waits, as with
Object.wait(), on an int[0] of the class' own. The mirror refers to that array from a field that the VM has injected
and that is in no table; nothing else refers to it, so the class whose mirror does is the one. Some versions between
21 and 25 wait on a mutex of the class instead (InstanceKlass::_init_monitor), and nothing is found there.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.runtimes.hotspot.heap.metaspace import class_links, classes_of, loader_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

_LOCK = "[I"
_MAX_MIRROR = LIMITS.classinit_mirror


class Initializations:
    """The initializations at work in one VM."""

    def __init__(self, vm: Reading, oops: Oops) -> None:
        self._vm = vm
        self._oops = oops

    def behind(self, lock: int | None) -> tuple[str, int] | None:
        """The name of the class whose initialization an object locks, and the JavaThread* that initializes it."""
        oops = self._oops
        if not lock or oops.length(lock) != 0 or oops.klass_name(oops.klass(lock)) != _LOCK:
            return None
        for klass, thread in self._running:
            if lock in self._references(oops.mirror(klass)):
                name = oops.external_name(klass)
                return None if name is None else (name, thread)
        return None

    @cached_property
    def _running(self) -> list[tuple[int, int]]:
        """(InstanceKlass*, JavaThread*) of all classes that are being initialized."""
        vm = self._vm
        links = class_links(vm)
        state_at, thread_at = vm.offset("InstanceKlass._init_state"), vm.offset("InstanceKlass._init_thread")
        running = vm.constant("InstanceKlass::being_initialized")
        if links is None or state_at is None or thread_at is None or running is None:
            return []
        found = []
        for data in loader_data(vm):
            for klass in classes_of(vm, data, *links):
                if vm.byte(klass + state_at) == running and (self._oops.layout_helper(klass) or 0) > 0:
                    thread = vm.word(klass + thread_at)
                    if thread:
                        found.append((klass, thread))
        return found

    def _references(self, mirror: int | None) -> Iterator[int | None]:
        """Whatever the instance part of a java.lang.Class refers to: behind its header, before the static fields."""
        helper = self._oops.layout_helper(self._oops.klass(mirror) or 0) if mirror else None
        if not mirror or helper is None or not 0 < helper <= _MAX_MIRROR:
            return
        for at in range(8, helper & ~7, self._oops.reference_size):
            yield self._oops.load(mirror + at)
