"""Values that registers had on the way to an instruction, as far as its function's own code tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from postmortem.machines.machine import Machine, Step
    from postmortem.program.memory import AddressSpace

_MASK = (1 << 64) - 1
_DEEPEST = 16


class Load(NamedTuple):
    """address: what was read. table: the address that it was counted from, before anything was added to it. parts: what
    the address is the sum of, where it has an index."""

    address: int
    table: int
    parts: tuple[int, ...] = ()


class DataFlow:
    """steps: what ran straight to the instruction (Machine.steps_before). registers: as they are there, by name. entry:
    what a register held before the first step, where that is known.

    Memory is taken to hold what it held when it was read: whoever uses a value holds it against what came of it.
    """

    def __init__(
        self,
        space: AddressSpace,
        steps: Sequence[Step],
        registers: Mapping[str, int],
        machine: Machine,
        entry: Callable[[str], int | None] = lambda register: None,
    ) -> None:
        self._space = space
        self._entry = entry
        self._steps = steps
        self._registers = registers
        self._pc = machine.pc_name

    def load(self, register: str) -> Load | None:
        """The load that gave a register its value; None where it was made in another way or can't be told."""
        at, depth = len(self._steps), 0
        while (found := self._last(register, at)) is not None and depth < _DEEPEST:
            at, step = found
            depth += 1
            if step.kind == "copy" and step.base is not None:
                register = step.base
                continue
            address = self._address(step, at, depth) if step.kind == "load" else None
            if address is None:
                return None
            return Load(address, self._origin(step, at, address), self._parts(step, at, depth))
        return None

    def source(self, register: str) -> tuple[Step | None, str]:
        """The step that made a register's value, but for copies and local variables, and the register that it was made
        in.

        None: it came in, in that register, before the first step.
        """
        at = len(self._steps)
        while (found := self._last(register, at)) is not None:
            at, step = found
            kept = self._stored(step, at)
            if kept is not None:
                at, register = kept
                continue
            if step.kind != "copy" or step.base is None:
                return step, register
            register = step.base
        return None, register

    def _stored(self, load: Step, at: int) -> tuple[int, str] | None:
        """(position, register) of the store that put there what a load takes, as unoptimised code keeps variables."""
        if load.kind != "load" or load.index_register is not None or load.size != 8:
            return None
        for index in range(at - 1, -1, -1):
            step = self._steps[index]
            if step.kind == "call" or load.base in step.writes:
                return None
            if step.kind == "store" and step.source is not None and step.base == load.base:
                if step.displacement == load.displacement and step.size == load.size:
                    return index, step.source
                if abs(step.displacement - load.displacement) < 8:
                    return None
        return None

    def value(self, register: str) -> int | None:
        """What a register held at the instruction; None where that can't be told."""
        return self._value(register, len(self._steps), 0)

    def _last(self, register: str, at: int) -> tuple[int, Step] | None:
        """The last step before `at` that changes a register."""
        for index in range(at - 1, -1, -1):
            if register in self._steps[index].writes:
                return index, self._steps[index]
        return None

    def _address(self, step: Step, at: int, depth: int) -> int | None:
        if step.base == self._pc:
            return step.displacement
        return None if step.base is None and step.index_register is None else self._sum(step, at, depth)

    def _sum(self, step: Step, at: int, depth: int) -> int | None:
        """base + index * scale + displacement before step `at`."""
        base = 0 if step.base is None else self._value(step.base, at, depth + 1)
        if base is None:
            return None
        index = 0 if step.index_register is None else self._value(step.index_register, at, depth + 1)
        return None if index is None else base + index * step.scale + step.displacement & _MASK

    def _parts(self, step: Step, at: int, depth: int) -> tuple[int, ...]:
        if step.index_register is None:
            return ()
        base = step.displacement if step.base is None else self._value(step.base, at, depth + 1)
        index = self._value(step.index_register, at, depth + 1)
        return () if base is None or index is None else (base & _MASK, index * step.scale & _MASK)

    def _value(self, register: str, at: int, depth: int) -> int | None:
        """What a register holds before step `at`."""
        if depth > _DEEPEST:
            return None
        if register in self._registers and not any(register in step.writes for step in self._steps[at:]):
            return self._registers[register]
        found = self._last(register, at)
        if found is None:
            copied = self._copied(register)
            return self._entry(register) if copied is None else copied
        index, step = found
        if step.kind == "load":
            address = self._address(step, index, depth)
            return None if address is None else self._read(address, step)
        if step.kind == "sum":
            return self._sum(step, index, depth)
        if step.base is None or step.kind not in ("copy", "add"):
            return None
        if step.base == self._pc:
            return step.displacement
        value = self._value(step.base, index, depth + 1)
        return None if value is None else value + (step.displacement if step.kind == "add" else 0) & _MASK

    def _read(self, address: int, step: Step) -> int | None:
        if step.size == 8:
            return self._space.word(address)
        if step.signed:
            value = self._space.signed(address, step.size)
            return None if value is None else value & _MASK
        return self._space.unsigned(address, step.size)

    def _copied(self, register: str) -> int | None:
        """What a register held before the first step, where a copy was made of it that is still there."""
        for index, step in enumerate(self._steps):
            if step.kind == "copy" and step.base == register:
                for copy in step.writes & self._registers.keys():
                    if not any(copy in later.writes for later in self._steps[index + 1 :]):
                        return self._registers[copy]
            if register in step.writes:
                break
        return None

    def _origin(self, step: Step, at: int, address: int) -> int:
        """The address less what was added to it on the way."""
        address, register = address - step.displacement, step.base
        while register is not None and step.index_register is None and (found := self._last(register, at)) is not None:
            at, earlier = found
            if earlier.kind not in ("add", "copy"):
                break
            address, register = address - (earlier.displacement if earlier.kind == "add" else 0), earlier.base
        return address & _MASK
