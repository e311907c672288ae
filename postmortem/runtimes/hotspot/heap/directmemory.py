"""Direct ByteBuffers: the counters of java.nio.Bits, static fields in that class' mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.jvm import DirectMemory
from postmortem.runtimes.hotspot.layout.classes import boot_classes

if TYPE_CHECKING:
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

_BITS = "java/nio/Bits"


def direct_memory(vm: Reading, oops: Oops) -> DirectMemory | None:
    """None where the class was never loaded or can't be read."""
    bits = boot_classes(vm, oops, (_BITS,)).get(_BITS)
    if bits is None:
        return None
    used = _counter(vm, oops, bits, "RESERVED_MEMORY", "reservedMemory")
    maximum = _counter(vm, oops, bits, "MAX_MEMORY", "maxMemory")
    buffers = _counter(vm, oops, bits, "COUNT", "count")
    if used is None and maximum is None:
        return None
    return DirectMemory(used=used, maximum=maximum, buffers=buffers)


def _counter(vm: Reading, oops: Oops, klass: int, *names: str) -> int | None:
    """A long, or an AtomicLong; the names are those since JDK 9 and those before."""
    mirror = oops.mirror(klass)
    for name in names:
        field = oops.find_field(klass, name)
        if field is None or not field.static or not mirror:
            continue
        if field.signature == "J":
            return vm.word(mirror + field.offset)
        return vm.word(oops.place(oops.load(mirror + field.offset), "value"))
    return None
