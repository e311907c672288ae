"""Names inside generated code that has no methods: stub routines by entry point, interpreter codelets.

Source: HotSpot share/runtime/stubRoutines.hpp (one static address per stub: some in the VM's tables, all in
.symtab), share/interpreter/interpreter.hpp InterpreterCodelet and share/code/stubs.hpp StubQueue.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_CODELETS = LIMITS.stubs_codelets
_LONGEST_STUB = LIMITS.stubs_longest_stub
UNUSED_CODE = "code cache, unused part"
"""What is said of an address in the code cache that no blob holds."""


class StubNames:
    """Entry points of stub routines; gathered when first asked for."""

    def __init__(self, vm: Reading, statics: Callable[[str], Iterable[tuple[str, int]]]) -> None:
        """statics: (linkage name, address in memory) of libjvm's symbols with a prefix; none when stripped."""
        self._vm = vm
        self._statics = statics
        self._starts: list[int] | None = None
        self._names: list[str] = []

    def _gather(self) -> list[int]:
        found: dict[int, str] = {}
        for linkage, place in self._statics("_ZN12StubRoutines"):
            entry = self._vm.word(place)
            name = _last_component(linkage)
            if entry and name.startswith("_"):
                found.setdefault(entry, name.strip("_").removesuffix("_entry"))
        for name, row in self._vm.vm.fields("StubRoutines"):
            entry = self._vm.word(row.address) if row.is_static and row.type_string == "address" else None
            if entry:
                found.setdefault(entry, name.strip("_").removesuffix("_entry"))
        self._starts = sorted(found)
        self._names = [found[start] for start in self._starts]
        return self._starts

    def at(self, pc: int) -> tuple[str, int] | None:
        """(name, entry point) of the stub whose entry is the nearest at or below pc."""
        starts = self._gather() if self._starts is None else self._starts
        index = bisect_right(starts, pc) - 1
        if index < 0 or pc - starts[index] > _LONGEST_STUB:
            return None
        return self._names[index], starts[index]

    def entry(self, name: str) -> int | None:
        """The entry point of a stub."""
        starts = self._gather() if self._starts is None else self._starts
        return next((start for start, known in zip(starts, self._names, strict=True) if known == name), None)


def _last_component(linkage: str) -> str:
    """The variable's own name in an Itanium nested name: _ZN12StubRoutines3x866_fooE gives _foo."""
    position, name = 3, ""
    while position < len(linkage) and linkage[position].isdigit():
        end = position
        while end < len(linkage) and linkage[end].isdigit() and end - position < 4:
            end += 1
        # A digit may belong to the name before (x86): lengths are greedy, so none is split.
        length = int(linkage[position:end])
        name = linkage[end : end + length]
        position = end + length
    return name


def codelet_at(vm: Reading, pc: int) -> str | None:
    """The description of the interpreter codelet that holds pc, such as a bytecode's name."""
    queue = vm.static_word("AbstractInterpreter._code")
    buffer = vm.field(queue, "StubQueue._stub_buffer")
    begin, end = (vm.i32(vm.at(queue, f"StubQueue._queue_{edge}")) for edge in ("begin", "end"))
    size_at, name_at = vm.offset("InterpreterCodelet._size"), vm.offset("InterpreterCodelet._description")
    if not buffer or begin is None or end is None or size_at is None or name_at is None:
        return None
    position = buffer + begin
    for _ in range(_MAX_CODELETS):
        size = vm.i32(position + size_at)
        if not size or size < 0 or position >= buffer + end:
            return None
        if position <= pc < position + size:
            return vm.text(vm.word(position + name_at), 200)
        position += size
    return None
