"""What a value points at, in words."""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.machines.machine import Machine
    from postmortem.model import Mapping
    from postmortem.program.memory import AddressSpace
    from postmortem.program.modules import ModuleMap

_PREVIEW = 32
_NEAR = 1 << 20


class Describer:
    """Describes words of one process."""

    def __init__(
        self,
        space: AddressSpace,
        mappings: Sequence[Mapping],
        modules: ModuleMap,
        symbol_at: Callable[[int], tuple[str, int, int] | None],
        stacks: Sequence[tuple[int, int, int]],
        machine: Machine,
    ) -> None:
        """symbol_at: (name, offset, size) of the symbol that covers an address. stacks: (start, end, tid)."""
        self._canonical = machine.canonical
        self._space = space
        self._mappings = mappings
        self._starts = [mapping.start for mapping in mappings]
        self._modules = modules
        self._symbol_at = symbol_at
        self._stacks = stacks

    def mapping(self, address: int) -> Mapping | None:
        """The mapping that holds an address."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._mappings[index].end:
            return self._mappings[index]
        return None

    def is_topmost(self, start: int) -> bool:
        """Whether no writable mapping lies above the one that begins there."""
        return not any("w" in mapping.permissions for mapping in self._mappings[bisect_right(self._starts, start) :])

    def gap(self, address: int) -> tuple[int, int]:
        """[start, end) of the addresses between two mappings that an address is among."""
        index = bisect_right(self._starts, address) - 1
        start = self._mappings[index].end if index >= 0 else 0
        return start, self._starts[index + 1] if index + 1 < len(self._starts) else 1 << 64

    def symbol(self, address: int) -> tuple[str, int, int, str] | None:
        """(name, offset, size, path of the module) of the symbol that covers an address."""
        module = self._modules.at(address)
        found = self._symbol_at(address) if module is not None else None
        return None if found is None or module is None else (*found, module.path)

    def text(self, value: int) -> str:
        """What a register's value is: a small number, text, or what lies at that address."""
        if value == 0:
            return "0"
        if value < 0x10000:
            return f"small number {int(value)}"
        if value >= (1 << 64) - (1 << 16):
            return f"small negative number {value - (1 << 64)}"
        mapping = self.mapping(value)
        if mapping is None:
            return self._unmapped(value)
        return self._mapped(value, mapping)

    def _mapped(self, value: int, mapping: Mapping) -> str:
        module = self._modules.at(value)
        if module is not None:
            name = module.path.rsplit("/", 1)[-1]
            found = self._symbol_at(value)
            if found is not None:
                return f"{found[0]}+{found[1]:#x} in {name}" if found[1] else f"{found[0]} in {name}"
            return f"{name}+{value - module.bias:#x} ({mapping.permissions})"
        for start, end, tid in self._stacks:
            if start <= value < end:
                return f"stack of thread {tid}{self._string(value)}"
        where = mapping.kind or "mapping"
        if mapping.path:
            where += f" {mapping.path}"
        if mapping.permissions == "---":
            return f"inaccessible {where} ({mapping.end - mapping.start:#x} bytes)"
        return f"{where}, {value - mapping.start:#x} into {mapping.end - mapping.start:#x} bytes{self._string(value)}"

    def _string(self, address: int) -> str:
        data = self._space.read_some(address, _PREVIEW)
        text = printable(data.split(b"\0", 1)[0])
        return f', "{text}"' if text is not None and len(text) >= 4 else ""

    def _unmapped(self, value: int) -> str:
        text = printable(struct.pack("<Q", value).rstrip(b"\0"))
        as_text = f'; its bytes read "{text}"' if text is not None and len(text) >= 4 else ""
        if not self._canonical(value):
            return f"not an address (non-canonical){as_text}"
        index = bisect_right(self._starts, value) - 1
        near = []
        if index >= 0 and value - self._mappings[index].end < _NEAR:
            near.append(f"{value - self._mappings[index].end:#x} bytes past the end of {self._name(index)}")
        if index + 1 < len(self._mappings) and self._mappings[index + 1].start - value < _NEAR:
            near.append(f"{self._mappings[index + 1].start - value:#x} bytes below {self._name(index + 1)}")
        return "not mapped" + (f", {' and '.join(near)}" if near else "") + as_text

    def _name(self, index: int) -> str:
        mapping = self._mappings[index]
        return f"{mapping.kind or 'a mapping'}{' ' + mapping.path if mapping.path else ''}"


def printable(data: bytes) -> str | None:
    """The bytes as ASCII text if all are printable."""
    if data and all(0x20 <= byte < 0x7F for byte in data):
        return data.decode("ascii")
    return None
