"""What an allocator was asked for by the call that ended the process: the pointer to free, or the size.

The call is found by the name of its function on the stack, or, where that left by a tail call (free() of glibc since
2.42 does), by what the call instruction reaches. The argument is followed back in the code before the call. Memory may
have changed since, so the value counts only where the functions that were called still have it in their frames: glibc
keeps the pointer or the chunk, 16 bytes before it.

A chunk's size is the word before the block, whose lowest bit tells that the chunk before it is in use; a chunk on a
list of free ones begins with the addresses of the two beside it in that list (malloc/malloc.c, malloc_chunk).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.fault.dataflow import DataFlow
from postmortem.model import Address
from postmortem.model.process import FreedPointer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from postmortem.machines.machine import Machine
    from postmortem.program.memory import AddressSpace
    from postmortem.unwind.frame import RawFrame

_FREES = frozenset(("free", "cfree", "realloc", "__libc_free", "__libc_realloc"))
_DELETES = ("operator delete(", "operator delete[](")
_NEWS = ("operator new(unsigned long", "operator new[](unsigned long")
_FRAMES, _STACK = 24, LIMITS.nowhere_stack
_JUMPS = 8
_MARKS = ("endbr64",)
"""Where an indirect call may arrive."""
_HEADER, _FLAGS, _LARGEST_CHUNK = 16, 7, 1 << 40
_LINKED_BACK, _LINKED_ON = 24, 16


def reached(
    at: int, space: AddressSpace, symbol: Callable[[int], tuple[str, int, int] | None], machine: Machine
) -> Iterator[str]:
    """The functions that a call reaches by jumps alone: through the procedure linkage table, and through functions that
    do nothing but jump on."""
    target: int | None = at
    for jumps in range(_JUMPS):
        decoded = None if target is None else machine.decode(space, target, {}, lambda address: True)
        if decoded is None or target is None or (jumps and decoded.mnemonic == "call"):
            return
        target = target + len(decoded.code) if decoded.mnemonic in _MARKS else decoded.target
        found = None if target is None else symbol(target)
        if found is not None and not found[1]:
            yield found[0]


def called(
    at: int, space: AddressSpace, symbol: Callable[[int], tuple[str, int, int] | None], machine: Machine
) -> str | None:
    """The function that a call calls, also through the procedure linkage table."""
    return next(reached(at, space, symbol, machine), None)


class Asked:
    """The calls on a stack. symbol: (name, offset, size) of the function at an address."""

    def __init__(
        self,
        frames: Sequence[RawFrame],
        space: AddressSpace,
        symbol: Callable[[int], tuple[str, int, int] | None],
        machine: Machine,
    ) -> None:
        self._frames, self._space, self._symbol, self._machine = frames[:_FRAMES], space, symbol, machine

    def freed(
        self, stack: tuple[int, int] | None, module: Callable[[int], object] | None = None
    ) -> FreedPointer | None:
        """The pointer that was to be freed. stack: of the crashing thread.

        module: of an address, where the allocator did not end the process but faulted: all frames up to the call are
        then to lie in one.
        """
        entry = self._last(lambda name: name in _FREES)
        if entry is None:
            entry = next((i for i in range(len(self._frames) - 1) if self._freeing(i + 1) is not None), None)
        if entry is None:
            return None
        own = None if module is None else module(self._frames[0].pc)
        if module is not None and any(module(frame.pc) is not own for frame in self._frames[1 : entry + 1]):
            return None
        name = self._name(entry)
        if name not in _FREES:
            name = self._freeing(entry + 1)
        elif (self._name(entry + 1) or "").startswith(_DELETES):
            entry += 1
        value = self._argument(entry, (0, _HEADER))
        if value is None:
            return None
        on_stack = stack is not None and stack[0] <= value < stack[1] and value >= self._frames[entry + 1].sp
        words = self._space.words(value - _HEADER, 4)
        size = None if words is None else words[1] & ~_FLAGS
        after = self._space.word(value - _HEADER + size + 8) if size and size < _LARGEST_CHUNK else None
        return FreedPointer(
            address=Address(value),
            call="realloc" if name is not None and "realloc" in name else "free",
            frame=self._holder(value) if on_stack else None,
            on_stack=on_stack,
            size=None if size is None else Address(size),
            listed=words is not None and after is not None and not after & 1 and self._is_listed(value, words),
        )

    def size(self) -> int | None:
        """The bytes that operator new was asked for."""
        entry = self._last(lambda name: name.startswith(_NEWS))
        if entry is None:
            # Its part that throws is a fragment of its own, without a symbol.
            unnamed = (i for i in range(len(self._frames) - 1) if self._name(i) is None)
            entry = next((i for i in unnamed if any(name.startswith(_NEWS) for name in self._reached(i + 1))), None)
        return None if entry is None else self._argument(entry, (0,))

    def _is_listed(self, value: int, words: Sequence[int]) -> bool:
        """Whether both neighbours in a list of free chunks lead back to this one."""
        chunk = value - _HEADER
        return self._space.word(words[2] + _LINKED_BACK) == chunk and self._space.word(words[3] + _LINKED_ON) == chunk

    def _name(self, index: int) -> str | None:
        if index >= len(self._frames):
            return None
        found = self._symbol(self._frames[index].pc - (not self._frames[index].interrupted))
        return None if found is None else found[0]

    def _freeing(self, index: int) -> str | None:
        """free or realloc, where the call in frame `index` goes there with its arguments as they are."""
        return next((name for name in self._reached(index) if name in _FREES), None)

    def _reached(self, index: int) -> Iterator[str]:
        site = self._machine.call_before(self._space, self._frames[index].pc)
        if site is not None:
            yield from reached(int(site.partition(":")[0], 16), self._space, self._symbol, self._machine)

    def _last(self, test: Callable[[str], bool]) -> int | None:
        found = [index for index in range(len(self._frames)) if (name := self._name(index)) and test(name)]
        return found[-1] if found else None

    def _argument(self, entry: int, kept: tuple[int, ...]) -> int | None:
        """The first argument of the call of frame `entry`, where its frames have it, less one of `kept`."""
        if entry + 1 >= len(self._frames):
            return None
        caller, machine = self._frames[entry + 1], self._machine
        site = machine.call_before(self._space, caller.pc)
        at = None if site is None else int(site.partition(":")[0], 16)
        function = None if at is None else self._symbol(at)
        if at is None or function is None or caller.registers is None or caller.trust not in ("cfi", "frame-pointer"):
            return None
        steps = machine.steps_before(self._space, at - function[1], function[2], at)
        if steps is None:
            return None
        registers = {
            machine.names[number]: value
            for number, value in enumerate(caller.registers)
            if value is not None and number not in machine.not_preserved and number != machine.pc
        }
        registers[machine.sp_name] = caller.sp
        value = DataFlow(self._space, steps, registers, machine).value(machine.call_arguments[0])
        if value is None:
            return None
        first = self._frames[0].sp & ~7
        raw = self._space.read_some(first, min(max(caller.sp - first, 0), _STACK))
        held = {word for (word,) in struct.iter_unpack("<Q", raw[: len(raw) & ~7])}
        for frame in self._frames[: entry + 1]:
            held.update(word for word in frame.registers or () if word is not None)
        return value if any(value - less in held for less in kept) else None

    def _holder(self, value: int) -> str | None:
        """The function in whose frame an address of the stack lies."""
        for index, frame in enumerate(self._frames[:-1]):
            if frame.sp <= value < self._frames[index + 1].sp:
                return self._name(index)
        return None
