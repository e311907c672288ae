"""The VM's flags: their values as `jcmd VM.flags -all` prints them, and who set them.

The table is an array of Flag (JDK 8: 32 bytes, type by name), JVMFlag (11: type by name; 17 and newer:
24 bytes, type an enum). numFlags counts a last entry without a name. All fields are little-endian;
where each lies is in the VM's tables.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model import Flag, Problem
from postmortem.runtimes.hotspot.layout.reading import problem

if TYPE_CHECKING:
    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_FLAGS = LIMITS.flags_flags
_MAX_ENTRY = LIMITS.flags_entry
_MAX_TEXT = LIMITS.flags_text

# The order of JVMFlag::TYPE_*, JDK 17 and newer.
_TYPES = ("bool", "int", "uint", "intx", "uintx", "uint64_t", "size_t", "double", "ccstr", "ccstrlist")

_ORIGINS = {
    0: "default",
    1: "command line",
    2: "environment",
    3: "config file",
    4: "management",
    5: "ergonomic",
    6: "attach",
    7: "internal",
    8: "jimage",
}
_SET_ON_COMMAND_LINE = 1 << 17

_NUMBERS = {
    "int": struct.Struct("<i"),
    "uint": struct.Struct("<I"),
    "intx": struct.Struct("<q"),
    "uintx": struct.Struct("<Q"),
    "uint64_t": struct.Struct("<Q"),
    "size_t": struct.Struct("<Q"),
    "double": struct.Struct("<d"),
}


def flags(vm: Reading) -> tuple[tuple[Flag, ...], list[Problem]]:
    """All flags, in name order. A flag whose value can't be read is left out and counted in a Problem."""
    table = vm.static_word("JVMFlag.flags", "Flag.flags")
    count = vm.static_word("JVMFlag.numFlags", "Flag.numFlags")
    entry_size = vm.size("JVMFlag", "Flag")
    places = [vm.offset(f"JVMFlag.{name}", f"Flag.{name}") for name in ("_name", "_addr", "_flags", "_type")]
    if not table or not count or not entry_size or None in places:
        return (), [problem("JVMFlag::flags", "the flags can't be located, so none are shown")]
    if count > _MAX_FLAGS:
        return (), [problem("JVMFlag::numFlags", f"{count} flags are not plausible (at most {_MAX_FLAGS})")]
    data = b"" if entry_size > _MAX_ENTRY else vm.memory.read_some(table, count * entry_size)
    by_name = vm.type_string("JVMFlag._type") != "int"
    name_at, address_at, bits_at, type_at = (place or 0 for place in places)
    if (
        entry_size > _MAX_ENTRY
        or max(name_at + 8, address_at + 8, bits_at + 4, type_at + (8 if by_name else 4)) > entry_size
    ):
        return (), [problem("JVMFlag", f"fields lie beyond its {entry_size} bytes")]
    mask = vm.constant("JVMFlagOrigin::VALUE_ORIGIN_MASK", "JVMFlag::VALUE_ORIGIN_MASK") or 0xF
    set_bit = vm.constant("JVMFlag::WAS_SET_ON_COMMAND_LINE", "JVMFlag::ORIG_COMMAND_LINE") or _SET_ON_COMMAND_LINE
    found: list[Flag] = []
    unread = 0
    word, integer = struct.Struct("<Q"), struct.Struct("<I")
    for start in range(0, len(data) - entry_size + 1, entry_size):
        name_address = word.unpack_from(data, start + name_at)[0]
        if not name_address:
            continue
        name = vm.text(name_address, 256)
        address = word.unpack_from(data, start + address_at)[0]
        if by_name:
            kind = vm.text(word.unpack_from(data, start + type_at)[0], 32)
        else:
            number = integer.unpack_from(data, start + type_at)[0]
            kind = _TYPES[number] if number < len(_TYPES) else None
        value = _value(vm, address, kind) if kind is not None else None
        if name is None or value is None:
            unread += 1
            continue
        bits = integer.unpack_from(data, start + bits_at)[0]
        found.append(Flag(name=name, value=value, origin=_origin(bits & mask, bool(bits & set_bit))))
    problems = []
    missing = unread + max(0, count - len(data) // entry_size)
    if missing:
        problems.append(
            problem("JVMFlag::flags", f"{missing} of {count} flags can't be read", "give --sysroot with the same JDK")
        )
    found.sort(key=lambda flag: flag.name)
    return tuple(found), problems


def _origin(number: int, set_on_command_line: bool) -> str | None:
    words = _ORIGINS.get(number)
    if set_on_command_line and words is not None and number != 1:
        return f"command line, {words}"
    return words


def _value(vm: Reading, address: int, kind: str) -> str | None:
    if kind == "bool":
        byte = vm.byte(address)
        return None if byte is None else "true" if byte else "false"
    layout = _NUMBERS.get(kind)
    if layout is not None:
        data = vm.read(address, layout.size)
        if data is None:
            return None
        value = layout.unpack(data)[0]
        return f"{value:f}" if kind == "double" else str(value)
    if kind in ("ccstr", "ccstrlist"):
        pointer = vm.word(address)
        if pointer is None:
            return None
        return "" if pointer == 0 else vm.text(pointer, _MAX_TEXT)
    return None
