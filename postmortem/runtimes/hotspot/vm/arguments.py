"""What the VM was started with: its arguments, the Java command, and the system properties.

Properties come from java.lang.System.props in the heap (the full set); where that can't be read, from
Arguments::_system_properties (the VM's own, found by symbol) and the hsperfdata counters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.runtimes.hotspot.layout.reading import problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.model import Problem
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_ARGUMENTS = LIMITS.arguments_arguments
_MAX_TEXT = LIMITS.arguments_text
_MAX_PROPERTIES = LIMITS.arguments_properties
_MAX_BUCKETS = LIMITS.arguments_buckets


class Arguments(NamedTuple):
    """flags: options read from files; arguments: the others; java_command: main class and its arguments."""

    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    java_command: str | None


def arguments(vm: Reading) -> tuple[Arguments, list[Problem]]:
    """The VM's own copy of its arguments."""
    problems: list[Problem] = []
    lists: list[tuple[str, ...]] = []
    for count_place, array_place in (
        ("Arguments._num_jvm_flags", "Arguments._jvm_flags_array"),
        ("Arguments._num_jvm_args", "Arguments._jvm_args_array"),
    ):
        count, array = vm.u32(vm.static(count_place)), vm.static_word(array_place)
        if count is None or array is None:
            problems.append(problem(array_place, "the VM's arguments can't be read"))
            lists.append(())
            continue
        texts = []
        pointers = vm.memory.words(array, min(count, _MAX_ARGUMENTS)) if count and array else ()
        if pointers is None or count > _MAX_ARGUMENTS:
            problems.append(problem(array_place, f"{count} arguments can't all be read"))
        for pointer in pointers or ():
            text = vm.text(pointer, _MAX_TEXT)
            if text is None:
                problems.append(problem(array_place, f"an argument at {pointer:#x} can't be read"))
                continue
            texts.append(text)
        lists.append(tuple(texts))
    command = vm.text(vm.static_word("Arguments._java_command"), _MAX_TEXT)
    return Arguments(flags=lists[0], arguments=lists[1], java_command=command), problems


def initial_properties(vm: Reading, symbol: Callable[[str], int | None]) -> dict[str, str]:
    """The properties that the VM itself keeps (a dozen or two); {} where the symbol is stripped."""
    head = symbol("_ZN9Arguments18_system_propertiesE")
    node = vm.word(head)
    found: dict[str, str] = {}
    for _ in range(_MAX_PROPERTIES):
        if not node:
            break
        words = vm.memory.words(node, 3)
        if words is None:
            break
        # JDK 8 (whose flags are called Flag): key, value, next; newer: PathString{value}, key, next.
        key, value, node = words if vm.static("Flag.flags") else (words[1], words[0], words[2])
        name = vm.text(key, 4096)
        if not name or name in found:
            break
        found[name] = vm.text(value, _MAX_TEXT) or ""
    return found


def properties(
    vm: Reading, oops: Oops, symbol: Callable[[str], int | None], counters: dict[str, str]
) -> tuple[dict[str, str], list[Problem]]:
    """All system properties in name order, as far as they can be had."""
    found, why = _system_props(oops)
    problems = []
    if why is not None:
        start = "java.property."
        for name, value in counters.items():
            if name.startswith(start):
                found.setdefault(name.removeprefix(start), value)
        for name, value in initial_properties(vm, symbol).items():
            found.setdefault(name, value)
        problems.append(
            problem("java.lang.System.props", f"{why}; the {len(found)} properties shown are not all of them")
        )
    return dict(sorted(found.items())), problems


def _system_props(oops: Oops) -> tuple[dict[str, str], str | None]:
    """java.lang.System.props as text, and what went wrong.

    Properties keeps its entries in a ConcurrentHashMap field `map` (9 and newer) or is the Hashtable
    itself (8). Both are arrays `table` of chains of nodes {key, value|val, next}.
    """
    system = oops.well_known("System")
    if system is None:
        return {}, "java.lang.System isn't in the tables"
    props = oops.static_oop(system, "props")
    if not props:
        return {}, "the properties object can't be read"
    holder = oops.oop_field(props, "map") or props
    table = oops.oop_field(holder, "table")
    if not table:
        return {}, "the table of properties can't be read"
    found: dict[str, str] = {}
    damaged = 0
    for bucket in oops.elements(table, _MAX_BUCKETS):
        node: int | None = bucket
        seen: set[int] = set()
        while node and node not in seen and len(found) < _MAX_PROPERTIES and oops.vm.memory.budget.take("list_items"):
            seen.add(node)
            # A bin turned into a tree is a TreeBin whose nodes start at `first`.
            node = oops.oop_field(node, "first") or node
            key = oops.text(oops.oop_field(node, "key"))
            value_oop = oops.oop_field(node, "val")
            value = oops.text(oops.oop_field(node, "value") if value_oop is None else value_oop)
            if key is None:
                damaged += 1
            else:
                # A value need not be a String; jcmd leaves such an entry out.
                if value is not None:
                    found[key] = value
            node = oops.oop_field(node, "next")
    if not found:
        return {}, "no entry of the properties can be read"
    return found, f"{damaged} entries can't be read" if damaged else None
