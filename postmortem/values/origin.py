"""What the faulting instruction worked with, in the program's own words: account, order->customer, items[2].price.

A register's value is followed back to a variable: one that DWARF places in that register, or memory that it was loaded
from, which is a variable, a field of one, or lies where a pointer that was followed in the same way leads. A name is
given only where the variable or the memory still holds the value that the instruction used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.values.expression import Unavailable, evaluate, gather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.machines.machine import Machine, Step
    from postmortem.values.description import Type, Variable
    from postmortem.values.expression import Frame
    from postmortem.values.text import Printer

_MASK = 0xFFFFFFFFFFFFFFFF
_DEEPEST = 8
_PARTS = {
    "std::unique_ptr<": ".get()", "std::shared_ptr<": ".get()", "std::vector<": ".data()",
    "std::__cxx11::basic_string<": ".data()", "std::basic_string<": ".data()",
}  # fmt: skip


class Source(NamedTuple):
    """An expression; its type, -2 where that is not known; bytes to add to its value, and the value that it has now."""

    text: str
    type: int
    address: int | None = None
    """Where it lies, if in memory."""
    value: int | None = None
    offset: int = 0


class Origins:
    """Expressions for one activation's registers at one instruction."""

    def __init__(
        self,
        variables: Sequence[Variable],
        printer: Printer,
        frame: Frame,
        steps: Sequence[Step],
        symbol: Callable[[int], tuple[str, int, int] | None],
        machine: Machine,
        variables_at: Callable[[int], Sequence[Variable]],
    ) -> None:
        """variables: innermost scope first. steps: what ran straight to the instruction. symbol: names a global.

        variables_at: those of the same function at another of its instructions; their types count there only.
        """
        self._variables = variables
        self._printer = printer
        self._frame = frame
        self._steps = steps
        self._symbol = symbol
        self._machine = machine
        self._variables_at = variables_at
        known = enumerate(machine.names[: machine.count])
        self._numbers = {name: number for number, name in known if number != machine.pc}
        self._places: list[tuple[int, int, Variable]] | None = None

    def register(self, name: str, size: int = 8) -> str | None:
        """The expression whose value a register holds at the instruction, in its low `size` bytes."""
        source = self._checked(name, size)
        return source.text if source is not None and not source.offset else None

    def _checked(self, name: str, size: int = 8) -> Source | None:
        number = self._numbers.get(name)
        held = None if number is None else self._frame.registers[number]
        source = self._register(name, len(self._steps), 0)
        if source is None or held is None or source.value is None:
            return None
        mask = (1 << 8 * size) - 1
        return source if (source.value + source.offset) & mask == held & mask else None

    def memory(self, address: int, base: str | None, displacement: int, index: int | None) -> str | None:
        """The expression of what a memory operand at an address is; base: its register."""
        found = self._at(address)
        if found is not None:
            return found.text
        if base is None or index:
            return None
        pointer = self._checked(base)
        made = None if pointer is None else self._member(pointer, displacement)
        return None if made is None else made.text

    def _known(self, name: str, at: int) -> int | None:
        """The value of a register before step `at`, if later steps did no more than add to it."""
        number = self._numbers.get(name)
        value = None if number is None else self._frame.registers[number]
        for step in self._steps[at:]:
            if name in step.writes and value is not None:
                value = value - step.displacement & _MASK if step.kind == "add" and step.base == name else None
        return value

    def _register(self, name: str, at: int, depth: int) -> Source | None:
        """What a register held before step `at`."""
        number = self._numbers.get(name)
        if number is None or depth > _DEEPEST:
            return None
        return self._followed(name, number, at, depth) or self._then(number, at)

    def _then(self, number: int, at: int) -> Source | None:
        """A variable that was in a register before step `at`, if its value can be told at the instruction as well.

        A load over its own base (mov rdi, [rdi + 16]) leaves the variable to its caller's call site.
        """
        if at >= len(self._steps):
            return None
        code = bytes([0x50 + number])
        name = next((item.name for item in self._variables_at(self._steps[at].address) if item.location == code), None)
        variable = next((item for item in self._variables if item.name == name), None)
        if variable is None or variable.location is None:
            return None
        try:
            data = gather(evaluate(variable.location, self._frame), 8, self._frame)
        except Unavailable:
            return None
        return Source(variable.name, variable.type, None, int.from_bytes(data, "little"))

    def _followed(self, name: str, number: int, at: int, depth: int) -> Source | None:
        held_value = self._known(name, at)
        if held_value is not None and not any(name in step.writes for step in self._steps[at:]):
            code = bytes([0x50 + number])
            held = [variable for variable in self._variables if variable.location == code]
            if held:
                # Two variables in one register have one value: the innermost is what the statement is about.
                return Source(held[0].name, held[0].type, None, held_value)
        for index in range(at - 1, -1, -1):
            step = self._steps[index]
            if name not in step.writes:
                continue
            if step.kind == "load":
                return self._loaded(step, index, depth)
            if step.kind == "copy" and step.base is not None:
                return self._register(step.base, index, depth + 1)
            if step.kind == "add" and step.base is not None and step.base != self._machine.pc_name:
                source = self._register(step.base, index, depth + 1)
                return None if source is None else source._replace(offset=source.offset + step.displacement)
            return None
        return None

    def _loaded(self, step: Step, index: int, depth: int) -> Source | None:
        if step.base is None:
            return None
        address = step.displacement if step.base == self._machine.pc_name else None
        base = self._known(step.base, index)
        if base is not None and step.index_register is None:
            address = base + step.displacement & _MASK
        elif base is not None and step.index_register is not None:
            position = self._known(step.index_register, index)
            address = None if position is None else base + position * step.scale + step.displacement & _MASK
        if address is not None:
            found = self._at(address)
            if found is not None:
                return found
        if step.base == self._machine.pc_name:
            named = None if address is None else self._symbol(address)
            if named is None or named[1] or address is None:
                return None
            return Source(named[0], -2, address, self._word(address, named[2] if named[2] in (1, 2, 4) else 8))
        pointer = self._register(step.base, index, depth + 1)
        if pointer is None and base:
            pointer = self._pointing(base)
        if pointer is None:
            return None
        if step.index_register is None:
            return self._member(pointer, step.displacement)
        position = self._known(step.index_register, index)
        if position is None:
            return None
        return self._member(pointer, position * step.scale + step.displacement)

    def _pointing(self, value: int) -> Source | None:
        """A pointer or reference to a structure that has this value: it leads to the same object."""
        for variable in self._variables:
            kind, _ = self._printer.plain(variable.type)
            if kind.kind not in ("pointer", "reference") or variable.location is None:
                continue
            target, _ = self._printer.plain(kind.target)
            if target.kind not in ("struct", "union"):
                continue
            try:
                data = gather(evaluate(variable.location, self._frame), 8, self._frame)
            except Unavailable:
                continue
            if int.from_bytes(data, "little") == value:
                return Source(variable.name, variable.type, None, value)
        return None

    def _at(self, address: int) -> Source | None:
        """The variable, or the part of one, that lies at an address."""
        if self._places is None:
            self._places = []
            for variable in self._variables:
                if variable.location is None:
                    continue
                try:
                    pieces = evaluate(variable.location, self._frame)
                except Unavailable:
                    continue
                size = self._printer.size(variable.type)
                if len(pieces) == 1 and pieces[0].kind == "memory" and size and isinstance(pieces[0].value, int):
                    self._places.append((pieces[0].value, size, variable))
        for start, size, variable in self._places:
            if start <= address < start + size:
                return self._part(Source(variable.name, variable.type, start), address - start)
        return None

    def _member(self, pointer: Source, displacement: int) -> Source | None:
        """What lies behind a pointer at an offset: order->customer."""
        kind, _ = self._printer.plain(pointer.type)
        if kind.kind not in ("pointer", "reference"):
            return None
        if pointer.value is None:
            return None
        offset = pointer.offset + displacement
        place = pointer.value + offset & _MASK
        target, index = self._printer.plain(kind.target)
        size = self._printer.size(kind.target)
        if target.kind in ("struct", "union") and size and 0 <= offset < size:
            mark = "." if kind.kind == "reference" else "->"
            return self._field(pointer.text + mark, index, offset, place)
        if not size:
            return None
        element, rest = divmod(offset, size)
        if rest and target.kind not in ("struct", "union"):
            return None
        if element == 0 and target.kind not in ("struct", "union"):
            name = pointer.text if kind.kind == "reference" else f"*{pointer.text}"
            return self._scalar(name, kind.target, place)
        name = f"{pointer.text}[{element}]"
        return self._part(Source(name, kind.target, place - rest & _MASK), rest)

    def _scalar(self, text: str, type_: int, address: int) -> Source:
        size = self._printer.size(type_) or 8
        return Source(text, type_, address, self._word(address, size) if size <= 8 else None)

    def _word(self, address: int, size: int) -> int | None:
        data = self._frame.read(address, size)
        return None if data is None else int.from_bytes(data, "little")

    def _part(self, whole: Source, offset: int) -> Source | None:
        """The field or element of a value at an offset."""
        kind, index = self._printer.plain(whole.type)
        place = (whole.address or 0) + offset & _MASK
        if kind.kind in ("struct", "union"):
            return self._field(f"{whole.text}.", index, offset, place)
        if kind.kind == "array":
            return self._element(whole.text, kind, offset, place)
        return self._scalar(whole.text, whole.type, place) if offset == 0 else None

    def _element(self, text: str, array: Type, offset: int, place: int) -> Source | None:
        size = self._printer.size(array.target)
        if not size or len(array.counts) > 1:
            return None
        element, rest = divmod(offset, size)
        return self._part(Source(f"{text}[{element}]", array.target, place - rest & _MASK), rest)

    def _field(self, prefix: str, index: int, offset: int, place: int, depth: int = 0) -> Source | None:
        """prefix: with the dot or arrow before the field's name. place: the address of what is at the offset."""
        kind, _ = self._printer.plain(index)
        library = next((part for name, part in _PARTS.items() if kind.name.startswith(name)), None)
        if library is not None:
            pointer = self._first_pointer(index, offset, 0)
            text = prefix.removesuffix("->").removesuffix(".")
            return None if pointer is None else self._scalar(f"{text}{library}", pointer, place)
        if depth > _DEEPEST or (kind.kind == "union" and len(kind.members) != 1):
            return None
        for member in kind.members:
            if member.offset is None or member.bits is not None:
                continue
            size = self._printer.size(member.type) or 0
            if not member.offset <= offset < member.offset + size:
                continue
            if member.base or not member.name:
                made = self._field(prefix, member.type, offset - member.offset, place, depth + 1)
                if made is not None:
                    return made
                continue
            start = place - (offset - member.offset) & _MASK
            return self._part(Source(prefix + member.name, member.type, start), offset - member.offset)
        return None

    def _first_pointer(self, index: int, offset: int, depth: int) -> int | None:
        """The type of the pointer at an offset within a library's type."""
        kind, plain = self._printer.plain(index)
        if kind.kind == "pointer":
            return plain if offset == 0 else None
        if depth > 12 or kind.kind != "struct":
            return None
        for member in kind.members:
            if member.offset is None or offset < member.offset:
                continue
            found = self._first_pointer(member.type, offset - member.offset, depth + 1)
            if found is not None:
                return found
        return None
