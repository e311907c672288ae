"""Arguments and locals of the frames that are shown first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from parsers.limits import LIMITS
from postmortem.model import Problem, Value
from postmortem.model.queries.culprit import skipped_module
from postmortem.values.deadline import Deadline, Expired
from postmortem.values.expression import OPTIMIZED_OUT, Frame, Unavailable, evaluate, gather_parts, passed, value_of
from postmortem.values.layouts import Activation, mismatch, pointers
from postmortem.values.origin import Origins
from postmortem.values.store import Store
from postmortem.values.text import Printer, Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from parsers.elf.symbols import Sections
    from postmortem.machines.machine import Machine, Step
    from postmortem.model import Crash
    from postmortem.model import Frame as NamedFrame
    from postmortem.model.process import LayoutMismatch
    from postmortem.program.memory import AddressSpace
    from postmortem.program.modules import LoadedModule, ModuleMap
    from postmortem.symbols.cache import Cache
    from postmortem.symbols.elffile import ElfFile
    from postmortem.symbols.symbolizer import DwarfFile
    from postmortem.unwind.frame import RawFrame, Walk
    from postmortem.values.description import CallSite, Place, Scope, Variable

_Generated = Sequence[tuple[tuple[Value, ...], tuple[Value, ...]]]
"""Arguments and locals of each function of an activation, as a runtime knows them."""
_LONGEST_CALL = 8
"""Bytes of a call through memory: REX, opcode, ModR/M, SIB, displacement."""
_IN_REGISTERS = 3
"""First parameters whose registers are those of a system call, too."""
_CALLS_BACK = 8
"""How many callers an entry value may be followed through."""


class _Activation(NamedTuple):
    module: LoadedModule
    store: Store
    place: Place
    frame: Frame


class FrameValues:
    """Fills frames with the values of their variables, within a budget of time for all of them."""

    def __init__(
        self,
        modules: ModuleMap,
        dwarf: Callable[[LoadedModule], DwarfFile | None],
        supplement: Callable[[DwarfFile, Sections], ElfFile | None],
        split: Callable[[LoadedModule, DwarfFile, str, str], Iterable[ElfFile]],
        space: AddressSpace,
        symbol: Callable[[int], tuple[str, int, int] | None],
        address_of: Callable[[LoadedModule, str], int | None],
        cache: Cache,
        machine: Machine,
        seconds: float,
        executable: int = 0,
    ) -> None:
        """dwarf: where a module's DWARF is; executable: an address within the executable."""
        self._modules = modules
        self._dwarf = dwarf
        self._supplement = supplement
        self._split = split
        self._space = space
        self._symbol_at = symbol
        self._address_of = address_of
        self._cache = cache
        self._machine = machine
        self._deadline = Deadline(seconds)
        self._seconds = seconds
        self._executable = executable
        self._stores: dict[int, Store | None] = {}
        self._missing: dict[tuple[str, str], None] = {}
        self._expired = False

    @property
    def problems(self) -> list[Problem]:
        """What could not be had and would matter."""
        found = [
            Problem(stage="values", where=path, what=f"no arguments and locals: {why}",
                    hint="put its .dwp or .dwo files beside the program or into a --debug-dir" if ".dwo" in why
                    else "build with whole debug info (-g) to have them")
            for path, why in list(self._missing)[:20]
        ]  # fmt: skip
        if self._expired:
            found.append(
                Problem(
                    stage="values",
                    where="",
                    what=f"reading arguments and locals stopped after {self._seconds:g} s",
                    hint="what was read is kept: a second run comes further",
                )
            )
        return found

    def save(self) -> None:
        """Keep what was read of DWARF for the next run."""
        for store in self._stores.values():
            if store is not None:
                store.save()

    def fill(
        self,
        walk: Walk,
        named: list[list[NamedFrame]],
        first: int,
        thread_pointer: int,
        generated: Callable[[RawFrame], _Generated | None] = lambda raw: None,
        most: int = LIMITS.frames_with_values,
    ) -> list[list[NamedFrame]]:
        """The named activations with values, `most` frames from the activation `first` on.

        thread_pointer: its value in this thread.
        """
        result = list(named)
        raw = walk.frames
        count = 0
        for index in range(first, min(len(named), len(raw))):
            count += len(named[index])
            if count > most or self._expired:
                break
            if raw[index].kind in ("java-interpreted", "java-compiled"):
                known = generated(raw[index])
                if known is not None and len(known) == len(named[index]):
                    result[index] = [
                        msgspec.structs.replace(frame, arguments=arguments, locals=found)
                        for frame, (arguments, found) in zip(named[index], known, strict=True)
                    ]
                continue
            try:
                activation = self._activation(raw, index, thread_pointer, 0)
                if activation is not None:
                    result[index] = self._filled(named[index], activation)
            except Expired:
                self._expired = True
        return result

    def mismatch(self, walk: Walk, first: int, thread_pointer: int) -> LayoutMismatch | None:
        """An object that two of the functions at a fault take for types of one name and two layouts."""
        found: list[Activation] = []
        values: list[int | None] = []
        try:
            for index in range(first, min(len(walk.frames), first + LIMITS.layout_frames)):
                module = self._modules.at(walk.frames[index].pc)
                # Types of the system's libraries are not the program's to define.
                own = module is not None and not skipped_module(module.path)
                activation = self._activation(walk.frames, index, thread_pointer, 0) if own else None
                if activation is None:
                    values = []
                    continue
                printer, path, frame = self._printer(activation), activation.module.path, activation.frame
                passed = self._passed(activation, walk.frames[index].pc, values) if any(values) else []
                for scope in activation.place.scopes:
                    variables = (*scope.parameters, *scope.variables)
                    found.append(Activation(scope.function, path, variables, frame, printer, passed))
                outermost = activation.place.scopes[-1:]
                values = pointers(outermost[0].parameters[:_IN_REGISTERS], frame, printer) if outermost else []
        except Expired:
            self._expired = True
        return mismatch(found)

    def _passed(
        self, activation: _Activation, returns_to: int, values: Sequence[int | None]
    ) -> list[tuple[Variable, int]]:
        """The variables that a call passed on in a register, with the values of these parameters in what was called."""
        site = self._machine.call_before(self._space, returns_to)
        if site is None:
            return []
        at = self._variables_at(activation, int(site.partition(":")[0], 16))
        numbers = [self._machine.names.index(name) for name in self._machine.call_arguments[: len(values)]]
        codes = {bytes([0x50 + number]): value for number, value in zip(numbers, values, strict=True)}
        return [(variable, value) for variable in at if (value := codes.get(variable.location or b"")) is not None]

    def explained(self, crash: Crash, walk: Walk, first: int, thread_pointer: int) -> Crash:
        """The fault with its operands in the program's own words. first: the activation of the fault."""
        if self._expired or crash.pc is None:
            return crash
        if crash.call_site is not None:
            try:
                called = self._called(crash, walk.frames, first, thread_pointer)
            except Expired:
                return crash
            return crash if called is None else msgspec.structs.replace(crash, operand_sources={"callee": called})
        if not (crash.operands or crash.operand_values):
            return crash
        try:
            activation = self._activation(walk.frames, first, thread_pointer, 0)
        except Expired:
            return crash
        symbol = self._symbol_at(crash.pc)
        if activation is None or symbol is None or walk.frames[first].pc != crash.pc:
            return crash
        steps = self._machine.steps_before(self._space, crash.pc - symbol[1], symbol[2], crash.pc)
        if steps is None:
            return crash
        origins = self._origins(activation, steps)
        operands = tuple(
            msgspec.structs.replace(
                operand,
                pointer=None if operand.base is None else origins.register(operand.base),
                target=origins.memory(
                    operand.address, operand.base, operand.displacement, operand.index_value if operand.index else None
                ),
            )
            for operand in crash.operands
        )
        sources = {}
        if "divisor" in crash.operand_values:
            words = crash.instruction or ""
            size = crash.operand_values.get("quotient_bits", 64) // 8
            name = words.rpartition(" ")[2]
            found = operands[0].target if operands else origins.register(self._machine.whole(name) or name, size)
            if found is not None:
                sources["divisor"] = found
        return msgspec.structs.replace(crash, operands=operands, operand_sources=sources)

    def _called(self, crash: Crash, raw: Sequence[RawFrame], first: int, thread_pointer: int) -> str | None:
        """The pointer that a call to where no code is went through."""
        at = int((crash.call_site or "").partition(":")[0], 16)
        held = raw[first].registers
        caller = None if held is None else self._activation(raw, first + 1, thread_pointer, 0)
        symbol = self._symbol_at(at)
        if held is None or caller is None or symbol is None or not at < raw[first + 1].pc <= at + _LONGEST_CALL:
            return None
        # Nothing ran since the call: all registers are as it found them, but for the return address on the stack.
        registers = list(held)
        registers[self._machine.sp] = raw[first + 1].sp
        named = {name: value for name, value in zip(self._machine.names, registers, strict=False) if value is not None}
        decoded = self._machine.decode(self._space, at, named, lambda address: True)
        steps = self._machine.steps_before(self._space, at - symbol[1], symbol[2], at)
        if decoded is None or decoded.target != crash.pc or steps is None:
            return None
        caller = caller._replace(frame=dataclasses.replace(caller.frame, registers=registers))
        origins = self._origins(caller, steps)
        operand = next((item for item in decoded.operands if item.access == "read"), None)
        if operand is None:
            return origins.register(self._machine.whole(decoded.text.rpartition(" ")[2]) or "")
        return origins.memory(
            operand.address, operand.base, operand.displacement, operand.index_value if operand.index else None
        )

    def _origins(self, activation: _Activation, steps: Sequence[Step]) -> Origins:
        return Origins(
            _variables(activation.place),
            self._printer(activation),
            activation.frame,
            steps,
            self._symbol_at,
            self._machine,
            lambda address: self._variables_at(activation, address),
        )

    def _variables_at(self, activation: _Activation, address: int) -> Sequence[Variable]:
        try:
            place = activation.store.place(address - activation.module.bias, None)
        except Expired:
            return ()
        return _variables(place) if place.low == activation.place.low else ()

    def _store(self, module: LoadedModule) -> Store | None:
        if module.start not in self._stores:
            dwarf = self._dwarf(module)
            self._stores[module.start] = (
                None
                if dwarf is None
                else Store(dwarf, self._cache, self._deadline, self._supplement, partial(self._split, module, dwarf))
            )
        return self._stores[module.start]

    def _activation(self, raw: Sequence[RawFrame], index: int, thread_pointer: int, depth: int) -> _Activation | None:
        """What is known of an activation; None for one without DWARF or without registers."""
        if index >= len(raw):
            return None
        frame = raw[index]
        if frame.kind != "native" or frame.registers is None:
            return None
        lookup = frame.pc if frame.interrupted else frame.pc - 1
        module = self._modules.at(lookup)
        store = None if module is None else self._store(module)
        if module is None or store is None:
            return None
        place = store.place(lookup - module.bias, None if frame.interrupted else frame.pc - module.bias)
        if place.missing is not None:
            if place.passing or "damaged" in place.missing or "can't be read" in place.missing:
                self._missing[module.path, place.missing] = None
            return None
        registers = list(frame.registers)
        if not frame.interrupted:
            for number in self._machine.not_preserved:
                registers[number] = None
        evaluated = Frame(
            registers=registers,
            read=self._space.read,
            cfa=_cfa(raw, index),
            bias=module.bias,
            frame_base=place.frame_base,
            bases=place.bases,
            addresses=place.addresses,
            tls=lambda offset: self._tls(module, thread_pointer, offset),
            names=self._machine.names,
        )
        activation = _Activation(module, store, place, evaluated)

        def entry(register: int | None, parameter: int | None, dereferenced: bool) -> int:
            return self._entry_value(raw, index, thread_pointer, depth, activation, register, parameter, dereferenced)

        evaluated.entry = entry
        return activation

    def _entry_value(
        self, raw: Sequence[RawFrame], index: int, thread_pointer: int, depth: int, callee: _Activation,
        register: int | None, parameter: int | None, dereferenced: bool,
    ) -> int:  # fmt: skip
        """What the caller passed, by its call site. Raises Unavailable."""
        if depth >= _CALLS_BACK or index + 1 >= len(raw) or raw[index + 1].trust not in ("cfi", "frame-pointer"):
            raise Unavailable(OPTIMIZED_OUT)
        caller = self._activation(raw, index + 1, thread_pointer, depth + 1)
        call = None if caller is None else caller.place.call
        if caller is None or call is None or not self._calls(caller, call, callee):
            # A tail call may lie between: then the call that is seen passed its values to another function.
            raise Unavailable(OPTIMIZED_OUT)
        found = passed(call.parameters, register, parameter)
        expression = None if found is None else found.data if dereferenced else found.value
        if not expression:
            raise Unavailable(OPTIMIZED_OUT)
        return value_of(expression, caller.frame)

    def _calls(self, caller: _Activation, call: CallSite, callee: _Activation) -> bool:
        """Whether the call is known to be one of the callee."""
        if call.origin is not None:
            if caller.module is callee.module and call.origin in callee.place.identities:
                return True
            if call.name is None:
                return False
            if call.name in callee.place.names:
                return True
            # The name that is called may be another one of the function's: pthread_mutex_lock of ___pthread_mutex_lock.
            address = self._address_of(callee.module, call.name)
            return address is not None and address == callee.place.low + callee.module.bias
        if call.target:
            try:
                return value_of(call.target, caller.frame) == callee.place.low + callee.module.bias
            except Unavailable:
                return False
        return False

    def _tls(self, module: LoadedModule, thread_pointer: int, offset: int) -> int | None:
        """Thread-local storage of the executable lies right below the thread pointer (ELF TLS, variant II)."""
        image = module.image
        if (
            image is None
            or image.tls is None
            or not thread_pointer
            or not module.start <= self._executable < module.end
        ):
            return None
        alignment = max(1, image.tls.align)
        return thread_pointer - (image.tls.memsz + alignment - 1) // alignment * alignment + offset

    def _filled(self, named: list[NamedFrame], activation: _Activation) -> list[NamedFrame]:
        made = list(named)
        for at, scope in _aligned(named, activation.place.scopes):
            made[at] = msgspec.structs.replace(
                named[at],
                arguments=tuple(self._values(scope.parameters, activation)),
                locals=tuple(self._values(scope.variables, activation)),
            )
        return made

    def _values(self, variables: Sequence[Variable], activation: _Activation) -> list[Value]:
        printer = self._printer(activation)
        return [self._value(variable, activation.frame, printer) for variable in variables]

    def _printer(self, activation: _Activation) -> Printer:
        place, frame = activation.place, activation.frame
        return Printer(
            place.types, self._space.read, place.language, self._symbol, lambda expression: value_of(expression, frame)
        )

    def _value(self, variable: Variable, frame: Frame, printer: Printer) -> Value:
        name = printer.name(variable.type)
        why: str | None
        try:
            shown = _shown(variable, frame, printer)
            why = None
        except Unavailable as reason:
            why = reason.reason
            shown = Shown(f"<{_unavailable_text(why)}>")
        return Value(
            name=variable.name,
            type=name,
            value=shown.value,
            text=shown.text,
            points_to=shown.points_to,
            unavailable=why,
        )

    def _symbol(self, address: int) -> str | None:
        found = self._symbol_at(address)
        return found[0] if found is not None and found[1] == 0 else None


def _variables(place: Place) -> list[Variable]:
    """Innermost scope first."""
    return [variable for scope in place.scopes for variable in (*scope.variables, *scope.parameters)]


def _unavailable_text(reason: str) -> str:
    return reason if reason.startswith(OPTIMIZED_OUT) else f"unavailable: {reason}"


def _shown(variable: Variable, frame: Frame, printer: Printer) -> Shown:
    size = printer.size(variable.type)
    if variable.location is not None:
        pieces = evaluate(variable.location, frame)
        address = pieces[0].value if len(pieces) == 1 and pieces[0].kind == "memory" else None
        place = address if isinstance(address, int) else None
        if size is None and (place is None or not printer.is_unbounded(printer.plain(variable.type)[0])):
            raise Unavailable("its size is not known")
        size = size or 0
        if size > LIMITS.value_bytes:
            if place is None:
                raise Unavailable(f"it has {size} bytes")
            return Shown(printer.large(variable.type, place))
        data, holes = gather_parts(pieces, size, frame) if size else (b"", [])
        return printer.show(variable.type, data, place) if not holes else printer.parts(variable.type, data, holes)
    if variable.constant is not None:
        constant = variable.constant
        if isinstance(constant, int):
            constant = (constant & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
        return printer.show(variable.type, constant[: size or 8])
    raise Unavailable(OPTIMIZED_OUT)


def _cfa(raw: Sequence[RawFrame], index: int) -> int | None:
    """The canonical frame address: the caller's stack pointer, where the step to the caller tells it."""
    if raw[index].cfa is not None:
        return raw[index].cfa
    if index + 1 >= len(raw) or raw[index + 1].trust not in ("cfi", "frame-pointer"):
        return None
    return raw[index + 1].sp


def _aligned(named: Sequence[NamedFrame], scopes: Sequence[Scope]) -> list[tuple[int, Scope]]:
    """Which frame of an activation is which function of its DWARF: one by one, or by name where their counts differ."""
    if len(named) == len(scopes):
        return list(enumerate(scopes))
    pairs: list[tuple[int, Scope]] = []
    start = 0
    for scope in scopes:
        for at in range(start, len(named)):
            if scope.function and scope.function in (named[at].function or ""):
                pairs.append((at, scope))
                start = at + 1
                break
    return pairs
