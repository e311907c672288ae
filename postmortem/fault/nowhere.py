"""How a thread came to execute where no code is: by a call, through which table, by a return; or the code is gone."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.fault.dataflow import DataFlow
from postmortem.model import Address
from postmortem.model.process import CodeReference, TableCall

if TYPE_CHECKING:
    from postmortem.fault.describe import Describer
    from postmortem.machines.machine import Decoded, Machine
    from postmortem.program.memory import AddressSpace

_LARGEST_GAP = LIMITS.nowhere_largest_gap
_LARGEST_TABLE = LIMITS.nowhere_largest_table
_STACK, _MOST_REFERENCES = LIMITS.nowhere_stack, LIMITS.nowhere_references
_DESCRIPTOR = (0x300, 0x900)
"""Where struct pthread has, behind the TCB, what belongs to the thread (nptl/descr.h); start_routine is in it."""
_MASK = (1 << 64) - 1


class Nowhere(NamedTuple):
    """See the fields of the same names of model.Crash."""

    call_site: str | None
    table_call: TableCall | None
    returned: bool
    return_neighbours: tuple[Address, ...]
    code_references: tuple[CodeReference, ...]


def nowhere(space: AddressSpace, registers: dict[str, int], describer: Describer, machine: Machine) -> Nowhere:
    """For a pc that is in no executable mapping."""
    pc, sp = registers.get(machine.pc_name, 0), registers.get(machine.sp_name, 0)
    returns_to = space.word(sp)
    site = machine.call_before(space, returns_to) if returns_to else None
    called, table = (None, None) if site is None else _call(space, site, registers, describer, machine)
    unknown = pc == 0 and site is not None and called is None
    returned = called != pc and not unknown and space.word((sp - 8) & _MASK) == pc
    words = space.words(sp, 3) if returned else None
    return Nowhere(
        site,
        table if called == pc else None,
        returned,
        tuple(Address(word) for word in words or ()),
        () if describer.mapping(pc) is not None else _references(space, registers, describer, machine),
    )


def _call(
    space: AddressSpace, site: str, registers: dict[str, int], describer: Describer, machine: Machine
) -> tuple[int | None, TableCall | None]:
    """(where the call goes with the registers as they are, the table of functions that its operand lies in)."""
    at = int(site.partition(":")[0], 16)
    decoded = machine.decode(space, at, registers, lambda address: describer.mapping(address) is not None)
    if decoded is None:
        return None, None
    table = table_call(space, decoded, describer, machine) or _loaded_call(
        space, at, decoded, registers, describer, machine
    )
    return decoded.target, table


def _loaded_call(
    space: AddressSpace, at: int, decoded: Decoded, registers: dict[str, int], describer: Describer, machine: Machine
) -> TableCall | None:
    """The table of a call through a register that the code before the call, at `at`, loaded from it."""
    register = machine.whole(decoded.text.rpartition(" ")[2])
    function = describer.symbol(at)
    if register is None or function is None:
        return None
    steps = machine.steps_before(space, at - function[1], function[2], at)
    load = None if steps is None else DataFlow(space, steps, registers, machine).load(register)
    if load is None or space.word(load.address) != registers.get(register):
        return None
    for start in (load.table, *load.parts):
        table = _table(describer, start, load.address) if start != load.address or not load.parts else None
        if table is not None:
            return table
    return None


def table_call(space: AddressSpace, decoded: Decoded, describer: Describer, machine: Machine) -> TableCall | None:
    """The table of a call through [register + displacement] or [table + index * 8], where a symbol tells its bounds."""
    operand = next(
        (item for item in decoded.operands if item.base not in (machine.pc_name, machine.sp_name) and item.size == 8),
        None,
    )
    if operand is None or (operand.base is None and operand.index is None) or space.word(operand.address) is None:
        return None
    if operand.index is None:
        return None if operand.base_value is None else _table(describer, operand.base_value, operand.address)
    starts = [operand.displacement, (operand.base_value or 0) + operand.displacement, operand.base_value or 0]
    return next((found for start in starts if start and (found := _table(describer, start, operand.address))), None)


def _table(describer: Describer, start: int, slot: int) -> TableCall | None:
    """The table that a symbol names at an address, and the slot in it."""
    found = describer.symbol(start)
    if found is None or not 0 < found[2] <= _LARGEST_TABLE:
        return None
    name, offset, size, module = found
    return TableCall(table=name, module=module, slot=Address(slot), offset=offset + slot - start, size=size)


def _references(
    space: AddressSpace, registers: dict[str, int], describer: Describer, machine: Machine
) -> tuple[CodeReference, ...]:
    start, end = describer.gap(registers.get(machine.pc_name, 0))
    if end - start > _LARGEST_GAP or start == 0:
        return ()
    sp, base = registers.get(machine.sp_name, 0), registers.get(machine.thread_pointer, 0)
    found: list[CodeReference] = []
    for place, first, size in (
        ("thread descriptor", base + _DESCRIPTOR[0], _DESCRIPTOR[1] - _DESCRIPTOR[0]),
        ("stack", sp & ~7, min(_STACK, base - sp) if sp < base else _STACK),
    ):
        raw = space.read_some(first, size) if first else b""
        for index, (word,) in enumerate(struct.iter_unpack("<Q", raw[: len(raw) & ~7])):
            if start <= word < end and len(found) < _MOST_REFERENCES:
                found.append(CodeReference(place=place, at=Address(first + 8 * index), value=Address(word)))  # type: ignore[arg-type]
    return tuple(found)
