"""Values of library types by what they mean: libstdc++'s strings, vectors, pointers and optionals, Rust's strings,
vectors and slices, Go's strings.

Members by the names of libstdc++ (bits/basic_string.h, stl_vector.h, unique_ptr.h, shared_ptr_base.h, optional) and of
Rust's alloc and core. A layout that is not as expected gives None, and the fields are shown as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.values.expression import Unavailable

if TYPE_CHECKING:
    from postmortem.values.description import Type
    from postmortem.values.text import Printer

_STRINGS = ("std::__cxx11::basic_string<char,", "std::basic_string<char,", "std::__cxx11::basic_string<char>")
_RUST_STRING, _RUST_VECTOR = "alloc::string::String", "alloc::vec::Vec<"
_SLICES = ("&[", "&mut [", "*const [", "*mut [", "alloc::boxed::Box<[")
_LIBRARIES = ("std::", "alloc::", "&", "*")
_STRS = ("&str", "&mut str", "alloc::boxed::Box<str")
_SIZED = {
    "std::map<": "_M_node_count", "std::set<": "_M_node_count", "std::multimap<": "_M_node_count",
    "std::multiset<": "_M_node_count", "std::unordered_map<": "_M_element_count",
    "std::unordered_set<": "_M_element_count", "std::__cxx11::list<": "_M_size",
}  # fmt: skip


def is_known(printer: Printer, found: Type) -> bool:
    """Whether a type may be one that is shown by what it means, not by its fields."""
    return printer.is_go or found.name.startswith(_LIBRARIES)


def known(printer: Printer, found: Type, data: bytes, depth: int) -> str | None:
    """The value in words, None where it is of no type known here or does not look as such one does."""
    name = found.name
    if not is_known(printer, found):
        return None
    try:
        text = _string_bytes(printer, found, data)
        if text is not None:
            from postmortem.values.text import quoted

            return quoted(text[0], text[1] > len(text[0]))
        if name.startswith("std::vector<"):
            return _vector(printer, found, data, depth)
        if name.startswith("std::unique_ptr<"):
            pointer = _pointer(printer, found, data, "_M_head_impl")
            return None if pointer is None else f"{_short(name)} = {{get() = {pointer:#x}}}"
        if name.startswith(("std::shared_ptr<", "std::weak_ptr<")):
            return _shared(printer, found, data)
        if name.startswith("std::optional<"):
            return _optional(printer, found, data, depth)
        if name.startswith(_RUST_VECTOR):
            return _rust_vector(printer, found, data, depth)
        if name.startswith(_SLICES):
            return _slice(printer, found, data, depth)
        for prefix, member in _SIZED.items():
            if name.startswith(prefix):
                size = _pointer(printer, found, data, member)
                return None if size is None else f"{prefix[:-1]} with {size} element{'' if size == 1 else 's'}"
    except Unavailable as reason:
        return f"<{reason.reason}>"
    return None


def string(printer: Printer, found: Type, data: bytes) -> str | None:
    """The content of a string type; None of any other."""
    text = _string_bytes(printer, found, data)
    return None if text is None else text[0].decode("utf-8", "replace")


def find(printer: Printer, index: int, name: str, offset: int = 0, depth: int = 0) -> tuple[int, int] | None:
    """(offset, type) of a member of that name within a type, in its bases and by-value members, too."""
    found, _ = printer.plain(index)
    if depth > 12 or found.kind not in ("struct", "union"):
        return None
    for member in found.members:
        if member.offset is not None and member.bits is None and member.name == name:
            return offset + member.offset, member.type
    for member in found.members:
        if member.offset is not None and member.bits is None:
            inner = find(printer, member.type, name, offset + member.offset, depth + 1)
            if inner is not None:
                return inner
    return None


def _within(printer: Printer, found: Type, name: str) -> tuple[int, int] | None:
    for member in found.members:
        if member.offset is None or member.bits is not None:
            continue
        if member.name == name:
            return member.offset, member.type
    for member in found.members:
        if member.offset is not None and member.bits is None:
            inner = find(printer, member.type, name, member.offset, 1)
            if inner is not None:
                return inner
    return None


def _word(data: bytes, offset: int) -> int | None:
    part = data[offset : offset + 8]
    return int.from_bytes(part, "little") if len(part) == 8 else None


def _pointer(printer: Printer, found: Type, data: bytes, name: str) -> int | None:
    place = _within(printer, found, name)
    return None if place is None else _word(data, place[0])


def _string_bytes(printer: Printer, found: Type, data: bytes) -> tuple[bytes, int] | None:
    """(as much of a string's content as is shown, its length)."""
    name = found.name
    if printer.is_go:
        # As gdb tells one: a named string type has the same two fields.
        if [member.name for member in found.members] != ["str", "len"]:
            return None
        return _counted(printer, _pointer(printer, found, data, "str"), _pointer(printer, found, data, "len"))
    if name.startswith(_STRINGS):
        return _counted(
            printer, _pointer(printer, found, data, "_M_p"), _pointer(printer, found, data, "_M_string_length")
        )
    if name.startswith("std::basic_string_view<char"):
        return _counted(printer, _pointer(printer, found, data, "_M_str"), _pointer(printer, found, data, "_M_len"))
    if name.startswith(_STRS):
        return _counted(printer, _pointer(printer, found, data, "data_ptr"), _pointer(printer, found, data, "length"))
    if name == _RUST_STRING:
        vector = _within(printer, found, "vec")
        if vector is None:
            return None
        held, _ = printer.plain(vector[1])
        inner = data[vector[0] :]
        return _counted(printer, _first_pointer(printer, held, inner), _pointer(printer, held, inner, "len"))
    return None


def _counted(printer: Printer, address: int | None, length: int | None) -> tuple[bytes, int] | None:
    if address is None or length is None or length >> 47:
        return None
    if not length:
        return b"", 0
    return printer.memory(address, min(length, LIMITS.value_characters)), length


def _elements(printer: Printer, index: int, address: int, count: int, depth: int) -> str:
    size = printer.size(index)
    if not size or size > LIMITS.value_bytes:
        return "{...}"
    shown = min(count, LIMITS.value_elements, max(1, LIMITS.value_bytes // size))
    data = printer.memory(address, shown * size) if shown else b""
    return printer.elements(index, data, count, depth)


def _vector(printer: Printer, found: Type, data: bytes, depth: int) -> str | None:
    start = _within(printer, found, "_M_start")
    finish = _within(printer, found, "_M_finish")
    end = _within(printer, found, "_M_end_of_storage")
    if start is None or finish is None or end is None:
        return None
    pointer, _ = printer.plain(start[1])
    first, last, limit = (_word(data, place[0]) for place in (start, finish, end))
    size = printer.size(pointer.target) if pointer.kind == "pointer" else None
    if first is None or last is None or limit is None or not size:
        return None  # vector<bool> has iterators of bits there
    if not first <= last <= limit or (last - first) % size or last - first >> 47:
        return f"std::vector that is damaged: from {first:#x} to {last:#x}, storage to {limit:#x}"
    count = (last - first) // size
    head = f"std::vector of length {count}, capacity {(limit - first) // size}"
    return head if not count else f"{head} = {_elements(printer, pointer.target, first, count, depth)}"


def _shared(printer: Printer, found: Type, data: bytes) -> str | None:
    pointer = _pointer(printer, found, data, "_M_ptr")
    place = _within(printer, found, "_M_refcount")
    if pointer is None or place is None:
        return None
    control = _word(data, place[0])
    if not control:
        return f"{_short(found.name)} (empty) = {{get() = {pointer:#x}}}"
    # _Sp_counted_base: its vtable pointer, then the two counts (shared_ptr_base.h).
    counts = printer.memory(control + 8, 8)
    uses, weak = (int.from_bytes(counts[at : at + 4], "little", signed=True) for at in (0, 4))
    state = f"use count {uses}, weak count {weak - 1}" if uses > 0 else f"expired, weak count {weak}"
    return f"{_short(found.name)} ({state}) = {{get() = {pointer:#x}}}"


def _optional(printer: Printer, found: Type, data: bytes, depth: int) -> str | None:
    engaged = _within(printer, found, "_M_engaged")
    value = _within(printer, found, "_M_value")
    if engaged is None or value is None or engaged[0] >= len(data):
        return None
    if not data[engaged[0]]:
        return f"{_short(found.name)} [no contained value]"
    size = printer.size(value[1]) or 0
    inner = printer.text(value[1], data[value[0] : value[0] + size], depth)
    return f"{_short(found.name)} = {{[contained value] = {inner}}}"


def _short(name: str) -> str:
    """The type's first argument alone: std::unique_ptr<Order, std::default_delete<Order> > is <Order>."""
    depth = 0
    for position, letter in enumerate(name):
        if letter == "<":
            depth += 1
        elif letter == ">":
            depth -= 1
        elif letter == "," and depth == 1:
            return f"{name[:position]}>"
    return name


def _first_pointer(printer: Printer, found: Type, data: bytes, depth: int = 0) -> int | None:
    """The first pointer within a value: a Rust vector's buffer, whatever wraps it in this version."""
    if depth > 10:
        return None
    for member in found.members:
        if member.offset is None:
            continue
        held, _ = printer.plain(member.type)
        if held.kind == "pointer":
            return _word(data, member.offset)
        if held.kind == "struct":
            inner = _first_pointer(printer, held, data[member.offset :], depth + 1)
            if inner is not None:
                return inner
    return None


def _rust_vector(printer: Printer, found: Type, data: bytes, depth: int) -> str | None:
    element = next((index for name, index in found.parameters if name == "T"), None)
    address, count = _first_pointer(printer, found, data), _pointer(printer, found, data, "len")
    if element is None or address is None or count is None or count >> 47:
        return None
    return f"Vec(size={count})" + (f" = {_elements(printer, element, address, count, depth)}" if count else "")


def _slice(printer: Printer, found: Type, data: bytes, depth: int) -> str | None:
    place, count = _within(printer, found, "data_ptr"), _pointer(printer, found, data, "length")
    if place is None or count is None or count >> 47:
        return None
    pointer, _ = printer.plain(place[1])
    address = _word(data, place[0])
    if pointer.kind != "pointer" or address is None:
        return None
    return f"size={count}" + (f" = {_elements(printer, pointer.target, address, count, depth)}" if count else "")
