"""Classes and objects in a made-up VM, of any header shape."""

from __future__ import annotations

from postmortem.runtimes.hotspot.layout.oops import Oops
from tests.postmortem.runtimes.hotspot.state.vm import BASE, FakeVm

MARK_SHIFT = 42


class Classes:
    """shape: wide (64-bit class pointer), narrow (32-bit) or compact (in the mark word)."""

    def __init__(self, shape: str) -> None:
        self.shape = shape
        self.vm = FakeVm()
        self.vm.instance(Klass___layout_helper=8, Klass___name=16, Klass___super=24)
        self.vm.instance(Symbol___length=4, Symbol___body=6)
        self.vm.static("CompressedKlassPointers._base", BASE)
        self.vm.static("CompressedKlassPointers._shift", 3, "I")
        self.vm.constants["markWord::klass_shift"] = MARK_SHIFT
        self.flags = {
            "UseCompressedClassPointers": "false" if shape == "wide" else "true",
            "UseCompactObjectHeaders": "true" if shape == "compact" else "false",
        }

    def klass(self, name: str, layout_helper: int) -> int:
        """A Klass; layout_helper as the VM keeps it."""
        symbol = self.vm.room(6 + len(name))
        self.vm.put(symbol + 4, "H", len(name))
        self.vm.put(symbol + 6, f"{len(name)}s", name.encode())
        klass = self.vm.room(64)
        self.vm.put(klass + 8, "i", layout_helper)
        self.vm.put(klass + 16, "Q", symbol)
        return klass

    def array(self, name: str, log2: int) -> int:
        """The class of a primitive array."""
        header = {"wide": 24, "narrow": 16, "compact": 16}[self.shape]
        return self.klass(name, -(1 << 30) | header << 16 | 8 << 8 | log2)

    def write(self, oop: int, klass: int, length: int | None = None) -> None:
        """The header of an object at `oop`."""
        number = (klass - BASE) >> 3
        if self.shape == "compact":
            self.vm.put(oop, "Q", number << MARK_SHIFT | 1)
        else:
            self.vm.put(oop, "Q", 1)
            self.vm.put(oop + 8, "Q" if self.shape == "wide" else "I", klass if self.shape == "wide" else number)
        if length is not None:
            self.vm.put(oop + {"wide": 16, "narrow": 12, "compact": 8}[self.shape], "I", length)

    def new(self, klass: int, size: int) -> int:
        """A fresh instance."""
        oop = self.vm.room(size)
        self.write(oop, klass)
        return oop

    def oops(self) -> Oops:
        """The decoder of what was made so far."""
        return Oops(self.vm.reading(), self.flags)
