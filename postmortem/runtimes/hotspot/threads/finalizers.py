"""Objects that wait for their finalizer: java.lang.ref.Finalizer's static queue counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.runtimes.hotspot.layout.classes import boot_classes

if TYPE_CHECKING:
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

FINALIZER = "Finalizer"
"""The thread that runs finalizers."""
_FINALIZER = "java/lang/ref/Finalizer"
_MOST = 1 << 40


def finalizer_queue(vm: Reading, oops: Oops) -> int | None:
    """ReferenceQueue.queueLength, a long; None where it can't be read."""
    klass = boot_classes(vm, oops, (_FINALIZER,)).get(_FINALIZER)
    queue = oops.static_oop(klass, "queue") if klass is not None else None
    length = vm.word(oops.place(queue, "queueLength")) if queue else None
    return length if length is not None and length < _MOST else None
