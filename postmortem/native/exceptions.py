"""C++ exceptions in memory, found without debug information.

Itanium C++ ABI: Exception Handling, and libstdc++'s unwind-cxx.h. The thrown object follows struct
__cxa_exception (112 bytes on x86-64), whose first word is the type_info and whose unwind header, 32 bytes
before the object, begins with the exception class "GNUCC++\\0". handlerCount is at +40. A type_info holds its
mangled name at +8; one of a class with one base has the base's type_info at +16. The standard classes derived
from logic_error and runtime_error keep a pointer to their text behind the vtable pointer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from postmortem.model import Address
from postmortem.model.report import CxxException
from postmortem.native.messages import writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from parsers.elf.core import Core
    from parsers.elf.header import Buffer
    from postmortem.memory import AddressSpace

GNU_CLASS = struct.pack("<Q", 0x474E5543432B2B00)
_HEADER, _UNWIND, _HANDLER_COUNT = 112, 32, 40
_WITH_TEXT = frozenset(
    ("St11logic_error", "St13runtime_error", "St12out_of_range", "St16invalid_argument", "St12length_error",
     "St12domain_error", "St11range_error", "St14overflow_error", "St15underflow_error", "St12system_error")
)  # fmt: skip
_FUNDAMENTAL = {"i": 4, "j": 4, "l": 8, "m": 8}
_MOST, _DEPTH = 16, 16


def exceptions(
    core: Core, content: Buffer, space: AddressSpace, demangle: Callable[[str], str]
) -> tuple[CxxException, ...]:
    """Exception objects whose memory is intact, those in flight and remains of handled ones."""
    found: list[CxxException] = []
    for hit in _hits(core, content):
        if len(found) >= _MOST:
            break
        exception = _exception(space, hit + _UNWIND, demangle)
        if exception is not None:
            found.append(exception)
    return tuple(found)


def _hits(core: Core, content: Buffer) -> Iterator[int]:
    for address, offset, size in writable(core):
        at = content.find(GNU_CLASS, offset, offset + size)  # type: ignore[union-attr]
        while at >= 0:
            if (address + at - offset) % 8 == 0:
                yield address + at - offset
            at = content.find(GNU_CLASS, at + 8, offset + size)  # type: ignore[union-attr]


def _exception(space: AddressSpace, thrown: int, demangle: Callable[[str], str]) -> CxxException | None:
    type_info = space.word(thrown - _HEADER)
    handlers = space.signed(thrown - _HEADER + _HANDLER_COUNT, 4)
    name = _type_name(space, type_info)
    if type_info is None or name is None or handlers is None:
        return None
    readable = (
        demangle(f"_Z{name}") if name[0].isdigit() else demangle(f"_ZTI{name}").removeprefix("typeinfo for ")
    )
    if readable.startswith("_Z"):
        readable = demangle(f"_ZTI{name}").removeprefix("typeinfo for ")
    return CxxException(
        type=readable,
        what=_what(space, thrown, type_info, name),
        address=Address(thrown),
        handler_count=handlers,
    )


def _type_name(space: AddressSpace, type_info: int | None) -> str | None:
    pointer = space.word(type_info + 8) if type_info else None
    raw = space.cstring(pointer, 512) if pointer else None
    if not raw or not raw.isascii():
        return None
    name = raw.decode("ascii").removeprefix("*")
    return name if name.replace("_", "a").isalnum() else None


def _what(space: AddressSpace, thrown: int, type_info: int, name: str) -> str | None:
    if name in _FUNDAMENTAL:
        value = space.signed(thrown, _FUNDAMENTAL[name])
        return None if value is None else str(value)
    if name == "PKc":
        return _text(space, space.word(thrown))
    if name == "St9bad_alloc":
        return "std::bad_alloc"
    current: int | None = type_info
    for _ in range(_DEPTH):
        base = _type_name(space, current)
        if base is None or current is None:
            return None
        if base in _WITH_TEXT:
            return _text(space, space.word(thrown + 8))
        current = space.word(current + 16)
    return None


def _text(space: AddressSpace, pointer: int | None) -> str | None:
    raw = space.cstring(pointer, 4096) if pointer else None
    return None if raw is None else raw.decode("utf-8", "backslashreplace")
