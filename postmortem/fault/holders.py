"""Where a bad pointer came from: memory whose place tells that the object there was not alive.

The register that the faulting instruction used is followed back to the load that filled it, through the callers that
passed it on. Arguments of the crashing functions that lead to such places are told as well.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import msgspec

from parsers.limits import LIMITS
from postmortem.fault.allocation import called, reached
from postmortem.fault.dataflow import DataFlow
from postmortem.fault.fault import unreachable
from postmortem.model import Address
from postmortem.model.process import PointerHolder
from postmortem.model.queries import culprit
from postmortem.model.queries.patterns import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from postmortem.fault.describe import Describer
    from postmortem.machines.machine import Machine, Step
    from postmortem.model import Crash, Frame, Operand, Thread
    from postmortem.program.memory import AddressSpace
    from postmortem.unwind.frame import RawFrame

_RED_ZONE = 128
"""Bytes below the stack pointer that a function may use (System V psABI, 3.2.2)."""
_CALLERS = 4
_OF_MEMORY = Lazy(r"_*(?:mem|str|wcs|wmem|stp)\w+")
_SWITCHED = Lazy(r"context|fiber|fibre|corout|trampoline", re.IGNORECASE)
_POINTER = Lazy(r"@?(0x[0-9a-f]{4,16})\b")


def _is_of_memory(frame: Frame) -> bool:
    return _OF_MEMORY.fullmatch(frame.function or "") is not None and culprit.in_system_library(frame)


def _is_whole(thread: Thread) -> bool:
    """Whether the frames of a thread reach from its stack pointer up to where its stack begins.

    On a stack that the program itself made within another one, of a coroutine or a signal's handler, frames that are in
    use may lie below the stack pointer.
    """
    frames = thread.frames
    if thread.ended != "bottom" or not frames:
        return False
    if any(frame.kind == "signal" or frame.trust == "scan" for frame in frames):
        return False
    return _SWITCHED.search(frames[-1].function or "") is None


class Holders:
    """Of one fault. freed: the allocator to which an address is free memory."""

    def __init__(
        self,
        space: AddressSpace,
        describer: Describer,
        symbol: Callable[[int], tuple[str, int, int] | None],
        freed: Callable[[int], str | None],
        threads: Sequence[Thread],
        machine: Machine,
        destroyed: Callable[[int], bool | None] = lambda address: None,
    ) -> None:
        """destroyed: of a static object, as is_destroyed says."""
        self._space, self._describer, self._symbol, self._freed = space, describer, symbol, freed
        self._destroyed = functools.cache(destroyed)
        self._threads, self._machine = threads, machine
        self._known: dict[tuple[int, bool], list[Step] | None] = {}

    def result_of(self, crash: Crash, frames: Sequence[RawFrame]) -> str | None:
        """The function whose result a null pointer is, handed on to where it was used without a look at memory."""
        operand = unreachable(crash.operands)
        if operand is None or operand.base_value != 0 or not frames or frames[0].pc != crash.pc:
            return None
        wanted = operand.base
        for index in range(_CALLERS):
            inner = index == 0 and _is_of_memory(self._threads[0].frames[0])
            flow = None if wanted is None else self._flow(frames, index, inner)
            if flow is None or wanted is None:
                return None
            step, register = flow.source(wanted)
            if step is not None:
                # A call changes other registers as well, of which it promises nothing.
                made = step.kind == "call" and register == self._machine.result
                return called(step.address, self._space, self._symbol, self._machine) if made else None
            # libc's functions for memory and strings leave a null argument as it came, whichever way they go.
            from_start = inner or self._from_start(frames, index)
            wanted = register if from_start and self._is_called(frames, index) else None
        return None

    def all(self, crash: Crash, frames: Sequence[RawFrame]) -> tuple[PointerHolder, ...]:
        """What is known of the bad pointer of a fault. frames: of the crashing thread from the fault on."""
        operand = unreachable(crash.operands)
        if operand is None or not self._threads or not self._threads[0].frames:
            return ()
        found = []
        at = self._read_from(operand, crash, frames)
        if at is not None and (made := self._at(at)) is not None:
            found.append(made)
        for path, name, value in self._arguments():
            if (made := self._at(value, path, name)) is not None:
                found.append(made)
        return tuple(found[: LIMITS.pointer_holders])

    def _read_from(self, operand: Operand, crash: Crash, frames: Sequence[RawFrame]) -> int | None:
        """The address that the base register's value was loaded from."""
        register, held = operand.base, operand.base_value
        if register is None or held is None or not frames or frames[0].pc != crash.pc:
            return None
        wanted: str | None = register
        for index in range(_CALLERS):
            if wanted is None:
                break
            for past_labels in (False, True):
                flow = self._flow(frames, index, past_labels)
                load = None if flow is None else flow.load(wanted)
                if load is not None and self._space.word(load.address) == held:
                    return load.address
                if load is not None:
                    return None
            # The function was given it: what did its caller put there?
            flow = self._flow(frames, index)
            step, came = (None, None) if flow is None else flow.source(wanted)
            came_in = step is None and self._from_start(frames, index) and self._is_called(frames, index)
            wanted = came if came_in else None
        return None

    def _at_call(self, frames: Sequence[RawFrame], index: int) -> int | None:
        """The instruction that a frame is at: of a caller its call."""
        if index == 0:
            return frames[0].pc
        if index >= len(frames):
            return None
        site = self._machine.call_before(self._space, frames[index].pc)
        return None if site is None else int(site.partition(":")[0], 16)

    def _is_called(self, frames: Sequence[RawFrame], index: int) -> bool:
        """Whether the function of a frame is what the next frame calls, and not one to which that jumped."""
        at = self._at_call(frames, index + 1)
        pc = frames[index].pc - (not frames[index].interrupted)
        function = self._symbol(pc)
        if at is None or function is None:
            return False
        return function[0] in reached(at, self._space, self._symbol, self._machine)

    def _steps(self, at: int, past_labels: bool) -> list[Step] | None:
        """The instructions before one of a function that is known, each way looked for once."""
        key = at, past_labels
        if key not in self._known:
            function = self._symbol(at)
            self._known[key] = (
                None
                if function is None
                else self._machine.steps_before(self._space, at - function[1], function[2], at, past_labels)
            )
        return self._known[key]

    def _from_start(self, frames: Sequence[RawFrame], index: int) -> bool:
        """Whether the way to the instruction of a frame is known from the function's first one on."""
        at = self._at_call(frames, index)
        function = None if at is None else self._symbol(at)
        if at is None or function is None:
            return False
        steps = self._steps(at, False)
        return steps is not None and (steps[0].address if steps else at) == at - function[1]

    def _flow(self, frames: Sequence[RawFrame], index: int, past_labels: bool = False) -> DataFlow | None:
        """The code before the instruction that a frame is at."""
        if index >= min(len(frames), _CALLERS):
            return None
        frame = frames[index]
        at = self._at_call(frames, index)
        function = None if at is None else self._symbol(at)
        if at is None or function is None:
            return None
        steps = self._steps(at, past_labels)
        if steps is None:
            return None
        if index == 0:
            registers = {name: int(value) for name, value in self._threads[0].registers.items()}
        else:
            if frame.registers is None or frame.trust not in ("cfi", "frame-pointer"):
                return None
            names = enumerate(self._machine.names[: self._machine.count])
            unknown = (*self._machine.not_preserved, self._machine.pc)
            registers = {
                name: value
                for number, name in names
                if number not in unknown and (value := frame.registers[number]) is not None
            }
            registers[self._machine.sp_name] = frame.sp
        whole = bool(steps) and steps[0].address == at - function[1]

        def entry(register: str) -> int | None:
            caller = self._flow(frames, index + 1) if whole and self._is_called(frames, index) else None
            return None if caller is None else caller.value(register)

        return DataFlow(self._space, steps, registers, self._machine, entry)

    def _arguments(self) -> Iterator[tuple[str, str, int]]:
        """(path, name, value) of the pointers and references that the crashing functions were given."""
        frames = self._threads[0].frames
        blamed = culprit.first(frames)
        left = LIMITS.pointer_holders
        for position, frame in enumerate(frames[: blamed[0] + 1 if blamed is not None else 1]):
            if frame.kind != "native" or frame.trust == "scan":
                return
            for index, value in enumerate(frame.arguments):
                match = _POINTER.match(value.text) if value.unavailable is None else None
                if match is not None and left > 0:
                    left -= 1
                    yield f"threads[0].frames[{position}].arguments[{index}].text", value.name, int(match[1], 16)

    def _at(self, address: int, argument: str | None = None, name: str | None = None) -> PointerHolder | None:
        mapping = self._describer.mapping(address)
        if mapping is None or "w" not in mapping.permissions:
            return None
        made = self._in_dead_stack(address) or self._in_static(address)
        if made is None and (allocator := self._freed(address)) is not None:
            made = PointerHolder(address=Address(address), place="freed", allocator=allocator)
        return made if made is None else msgspec.structs.replace(made, argument=argument, name=name)

    def _in_dead_stack(self, address: int) -> PointerHolder | None:
        for thread in self._threads:
            stack = thread.stack
            if stack is None or not stack.start <= address < stack.end:
                continue
            end = self._dead_end(thread)
            if (
                end is not None
                and 0 < end - address <= LIMITS.dead_stack
                and self._is_own(thread)
                and _is_whole(thread)
            ):
                return PointerHolder(
                    address=Address(address), place="dead stack", tid=thread.tid, below=int(end - address)
                )
        return None

    def _dead_end(self, thread: Thread) -> int | None:
        """Where the part of a stack ends in which no function of the program's own has a frame.

        Another thread's functions of system libraries, in which it waits, may use what is below as well; what they have
        there is nothing that this thread could have been given. Its own may pass it on (qsort, callbacks).
        """
        sp = thread.registers.get(self._machine.sp_name)
        if sp is None or thread.crashed or thread is self._threads[0]:
            return None if sp is None else int(sp) - self._red_zone(thread)
        end = int(sp)
        for frame in thread.frames:
            if frame.sp is None or frame.trust == "scan" or frame.kind != "native" or frame.sp < end:
                break
            end = int(frame.sp)
            if not culprit.in_system_library(frame):
                break
        return end

    def _red_zone(self, thread: Thread) -> int:
        """Bytes below the stack pointer that the function which runs may use."""
        pc = thread.frames[0].pc if thread.frames else None
        function = None if pc is None else self._symbol(pc)
        if pc is None or function is None:
            return _RED_ZONE
        reached = self._machine.below_pointers(self._space, (pc - function[1], function[2]))
        if reached is None:
            return _RED_ZONE
        sp = thread.registers.get(self._machine.sp_name, Address(0))
        lowest = [
            thread.registers[name] - below for name, below in reached.items() if below and name in thread.registers
        ]
        return min(_RED_ZONE, max([0, *(int(sp - at) for at in lowest)]))

    def _is_own(self, thread: Thread) -> bool:
        """Whether a thread's stack pointer is in the stack that it was started with: the kernel's, which is the topmost
        writable mapping, or one of libc's, which has the thread's descriptor at its end and a guard page below it."""
        stack = thread.stack
        if stack is None:
            return False
        descriptor = thread.registers.get(self._machine.thread_pointer)
        if descriptor is not None and stack.start <= descriptor < stack.end:
            return stack.guard is not None
        return self._describer.is_topmost(stack.start)

    def _in_static(self, address: int) -> PointerHolder | None:
        found = self._describer.symbol(address)
        if found is None or not found[2] > 0 or found[1] >= found[2]:
            return None
        name, offset, size, module = found
        content = self._space.read(address - offset, min(size, LIMITS.static_object))
        return PointerHolder(
            address=Address(address),
            place="static",
            symbol=name,
            offset=offset,
            size=size,
            module=module,
            unset=content is not None and not any(content),
            destroyed=self._destroyed(address - offset),
        )
