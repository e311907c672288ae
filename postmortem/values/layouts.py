"""One object that two functions on the stack take for a type of one name and of two layouts.

The functions were compiled with two definitions: other headers, other options, or two classes of one name in one
program (C++: the one definition rule, [basic.def.odr]). That their variables hold one address tells that it is one
object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.model import Address
from postmortem.model.process import LayoutMismatch, TypeLayout
from postmortem.values.expression import Unavailable, evaluate, gather

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from postmortem.values.description import Type, Variable
    from postmortem.values.expression import Frame
    from postmortem.values.text import Printer


class Activation(NamedTuple):
    """What a function on the stack has: its name, its module's path, its variables; those that it passed on in a
    register, with the value that the function it called has of them."""

    function: str
    module: str
    variables: Sequence[Variable]
    frame: Frame
    printer: Printer
    passed: Sequence[tuple[Variable, int]] = ()


def mismatch(activations: Sequence[Activation]) -> LayoutMismatch | None:
    """The first such object, seen from the innermost function; None where all agree."""
    seen: dict[tuple[int, str], tuple[Activation, str, Type]] = {}
    for activation in activations:
        for variable, address, found in _objects(activation):
            key = address, found.name
            before = seen.setdefault(key, (activation, variable, found))
            if before[0] is activation:
                continue
            here, there = _layout(*before), _layout(activation, variable, found)
            if _shape(*before) != _shape(activation, variable, found):
                return LayoutMismatch(type=found.name, address=Address(address), here=here, there=there)
    return None


def _objects(activation: Activation) -> Iterator[tuple[str, int, Type]]:
    """(variable, address, type) of the structures that variables are, or point at."""
    printer = activation.printer
    for variable in activation.variables[: LIMITS.layout_variables]:
        target, pointer = _structure(printer, variable)
        address = None if target is None else _address(variable, activation.frame, pointer)
        if target is not None and address:
            yield variable.name, address, target
    for variable, value in activation.passed:
        target, pointer = _structure(printer, variable)
        if target is not None and pointer and value:
            yield variable.name, value, target


def _structure(printer: Printer, variable: Variable) -> tuple[Type | None, bool]:
    """(the structure, whether the variable points at it)."""
    kind, _ = printer.plain(variable.type)
    pointer = kind.kind in ("pointer", "reference")
    target = printer.plain(kind.target)[0] if pointer else kind
    if target.kind not in ("struct", "union") or not target.whole or not target.name or not target.size:
        return None, pointer
    return target, pointer


def _address(variable: Variable, frame: Frame, pointer: bool) -> int | None:
    if variable.location is None:
        return None
    try:
        pieces = evaluate(variable.location, frame)
        if pointer:
            return int.from_bytes(gather(pieces, 8, frame), "little")
    except Unavailable:
        return None
    held = pieces[0].value if len(pieces) == 1 and pieces[0].kind == "memory" else None
    return held if isinstance(held, int) else None


def pointers(variables: Sequence[Variable], frame: Frame, printer: Printer) -> list[int | None]:
    """The values of the pointers among the first parameters of a function."""
    return [
        _address(variable, frame, True) if printer.plain(variable.type)[0].kind in ("pointer", "reference") else None
        for variable in variables
    ]


def _shape(activation: Activation, _: str, found: Type) -> tuple[object, ...]:
    """What two definitions of one type have in common."""
    sizes = activation.printer.size
    return found.size, tuple((item.name, item.offset, item.bits, sizes(item.type)) for item in found.members)


def _layout(activation: Activation, variable: str, found: Type) -> TypeLayout:
    members = (
        f"{f'member {item.name}' if item.name else 'a base class or union'} at {item.offset}"
        for item in found.members[: LIMITS.layout_members]
        if item.offset is not None
    )
    return TypeLayout(
        function=activation.function,
        module=activation.module,
        variable=variable,
        size=found.size or 0,
        members=tuple(members),
    )
