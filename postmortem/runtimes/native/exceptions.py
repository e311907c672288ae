"""C++ exceptions in memory, found without debug information.

Itanium C++ ABI: Exception Handling, and libstdc++'s unwind-cxx.h. The thrown object follows struct
__cxa_exception (112 bytes on x86-64), whose first word is the type_info and whose unwind header, 32 bytes
before the object, begins with the exception class "GNUCC++\\0". nextException is at +32, handlerCount at +40; the
latter keeps its value when the object is freed. The number of references lies 16 bytes before the header, where the
allocator writes as soon as the object is freed: that tells living ones from remains. An exception that
std::rethrow_exception threw has a header of its own, of class "GNUCC++\\1", whose first word is the object. The
thread's __cxa_eh_globals in its TLS begin with the header that it caught last, from where nextException leads to
those it caught before, and the number of those that were thrown and not caught yet (uncaughtExceptions). What
terminate() ends for is caught so too. The unwinder keeps the frame of the handler that it found in the last word of the
unwind header (private_2), which is 0 before and where an exception was never thrown.

A type_info holds its mangled name at +8. At +16 one of a class with one base has the base's type_info, one of a
class with several has flags, their number and for each its type_info and its offset. The standard classes derived
from logic_error and runtime_error keep a pointer to their text behind the vtable pointer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from postmortem.machines.machine import machine_of
from postmortem.model import Address
from postmortem.model.report import CxxException
from postmortem.runtimes.native.places import words_of, writable_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from parsers.elf.core import Core
    from postmortem.program.memory import AddressSpace
    from postmortem.runtimes.native.places import Places

GNU_CLASS = struct.pack("<Q", 0x474E5543432B2B00)
_DEPENDENT_CLASS = struct.pack("<Q", 0x474E5543432B2B01)
_HEADER, _UNWIND, _NEXT, _HANDLER_COUNT = 112, 32, 32, 40
_STOP, _HANDLER_FRAME = 96, 104
"""private_1, which is set while a thread is cancelled, and private_2."""
_UNCAUGHT, _MOST_UNCAUGHT = 8, 64
_WITH_TEXT = frozenset(
    ("St11logic_error", "St13runtime_error", "St12out_of_range", "St16invalid_argument", "St12length_error",
     "St12domain_error", "St11range_error", "St14overflow_error", "St15underflow_error", "St12system_error")
)  # fmt: skip
_FILESYSTEM_WHAT = "std::filesystem::__cxx11::filesystem_error::what() const"
_FILESYSTEM_IMPL, _FILESYSTEM_TEXT = 32, 80
"""Behind runtime_error and error_code a pointer to two paths of 40 bytes and the whole text."""
_WHAT_SLOT = 16
_FUNDAMENTAL = {"i": 4, "j": 4, "l": 8, "m": 8}
_REFERENCES, _MOST_REFERENCES = 16, 1 << 16
_MOST, _DEPTH, _PARTS, _BASES, _HEADERS = 16, 16, 64, 16, 4096
_NESTED, _LARGEST_OBJECT, _THREADS = "St17_Nested_exception", 512, 1024
_DTV, _DTV_MOST, _BLOCK = 8, 1024, 1 << 14
"""Where the thread control block has its vector of TLS blocks, how many and how much of each are looked at."""


class _Place(NamedTuple):
    """Whose list of caught exceptions holds an object, how many were caught after it, and, of the one caught last, how
    many the thread had thrown and not caught then."""

    tid: int
    depth: int
    uncaught: int | None


class _Reader(NamedTuple):
    """function: name of the function at an address."""

    space: AddressSpace
    demangle: Callable[[str], str]
    function: Callable[[int], str | None]


def exceptions(
    core: Core,
    space: AddressSpace,
    places: Places,
    demangle: Callable[[str], str],
    function: Callable[[int], str | None],
    terminated: bool,
) -> tuple[tuple[CxxException, ...], bool]:
    """Exception objects that are alive: in flight, being handled, or kept by a std::exception_ptr.

    They are taken from the threads' lists of caught ones, from the crashing stack, which has those in flight, and from
    the exceptions that hold them (std::nested_exception); where these give none, from the rest of the memory, as far
    as `places` has it. And whether the lists of all threads could be read. terminated: terminate() is on the crashing
    stack; where that thread then holds none as caught, the landing pad that called it may have dropped the last pointer
    to the exception, so the rest of the memory is searched, too.
    """
    tid = core.threads[0].tid if core.threads else None
    found: dict[int, int] = {}
    caught, attributed = _caught(core, space, found)
    stack, raw = places.stack()
    for word in words_of(raw):
        if word & 7 == 0 and writable_at(core, word):
            for header in (word, word + _UNWIND - _HEADER, word - _HEADER):
                _admit(space, header, found)
    if not found or (terminated and not any(place.depth == 0 and place.tid == tid for place in caught.values())):
        for address, piece in places.pieces():
            for at in _occurrences(piece, GNU_CLASS):
                if (address + at) % 8 == 0:
                    _admit(space, address + at + _UNWIND - _HEADER, found)
            if (found and not terminated) or places.exhausted:
                break
    holders = _nested(core, space, found)
    attributed = attributed and bool(found)
    older = {found[after] for header in found if (after := space.word(header + _NEXT)) in found}
    unwound = {thrown for header, thrown in found.items() if _is_unwound(space, header, stack, stack + len(raw))}
    # A landing pad keeps the unwind header for _Unwind_Resume; a std::exception_ptr keeps the object.
    on_stack = set(words_of(raw))
    resumed = {thrown for header, thrown in found.items() if header + _HEADER - _UNWIND in on_stack}
    reader = _Reader(space, demangle, function)
    result: list[CxxException] = []
    for thrown in sorted(set(found.values()), key=lambda thrown: thrown not in caught):
        if len(result) >= _MOST:
            break
        exception = _exception(reader, thrown, caught.get(thrown), thrown in older, holders.get(thrown))
        if exception is not None:
            result.append(msgspec.structs.replace(exception, unwound=thrown in unwound, resumed=thrown in resumed))
    return tuple(sorted(result, key=lambda item: item.address)), attributed


def _admit(space: AddressSpace, header: int, found: dict[int, int]) -> bool:
    """Take a header into `found`, with its object, if it is one of a living exception."""
    if header in found:
        return True
    if len(found) >= _HEADERS:
        return False
    kind = space.read(header + _HEADER - _UNWIND, len(GNU_CLASS))
    if kind == GNU_CLASS and _alive(space, header):
        found[header] = header + _HEADER
        return True
    if kind == _DEPENDENT_CLASS:
        thrown = space.word(header)
        if thrown is not None and _admit(space, thrown - _HEADER, found):
            found[header] = thrown
            return True
    return False


def _occurrences(raw: bytes, wanted: bytes) -> Iterator[int]:
    at = raw.find(wanted)
    while at >= 0:
        yield at
        at = raw.find(wanted, at + 8)


def _nested(core: Core, space: AddressSpace, found: dict[int, int]) -> dict[int, int]:
    """By object: the one whose std::nested_exception holds it. What is found so is taken into `found`."""
    holders: dict[int, int] = {}
    left = list(found.values())
    while left and len(found) < _HEADERS:
        outer = left.pop()
        name = _type_name(space, space.word(outer - _HEADER)) or ""
        if not name.startswith(_NESTED) and not _derives(
            space, space.word(outer - _HEADER), "St16nested_exception", set()
        ):
            continue
        for word in words_of(space.read_some(outer, _LARGEST_OBJECT)):
            if word & 7 or word == outer or word in holders or not writable_at(core, word):
                continue
            fresh = word - _HEADER not in found
            if _admit(space, word - _HEADER, found):
                holders[word] = outer
                if fresh:
                    left.append(word)
                break
    return holders


def _derives(space: AddressSpace, type_info: int | None, wanted: str, seen: set[int]) -> bool:
    """Whether a class is the wanted one or has it for a base. seen: the classes already looked at."""
    if type_info is None or type_info in seen or len(seen) >= _PARTS:
        return False
    seen.add(type_info)
    name = _type_name(space, type_info)
    if name is None:
        return False
    return name == wanted or any(_derives(space, base, wanted, seen) for base in _base_types(space, type_info))


def _alive(space: AddressSpace, header: int) -> bool:
    references, padding = space.word(header - _REFERENCES), space.word(header - _REFERENCES + 8)
    return references is not None and 0 < references <= _MOST_REFERENCES and padding == 0


def _is_unwound(space: AddressSpace, header: int, start: int, end: int) -> bool:
    """The unwinder found a handler for it on the stack from `start` to `end`, and no handler is at work on it."""
    stop, frame = space.word(header + _STOP), space.word(header + _HANDLER_FRAME)
    handlers = space.signed(header + _HANDLER_COUNT, 4)
    return stop == 0 and frame is not None and start <= frame < end and handlers is not None and handlers <= 0


def _caught(core: Core, space: AddressSpace, found: dict[int, int]) -> tuple[dict[int, _Place], bool]:
    """By object: which thread holds it as caught; and whether the TLS of all threads could be read."""
    caught: dict[int, _Place] = {}
    attributed = True
    thread_pointer = machine_of(core.machine).thread_pointer
    for status in core.threads[:_THREADS]:
        place, known = _last_caught(core, space, status.registers.get(thread_pointer, 0), found)
        attributed = attributed and known
        header = space.word(place) if place is not None else None
        uncaught = space.signed(place + _UNCAUGHT, 4) if place is not None else None
        if uncaught is not None and not 0 <= uncaught <= _MOST_UNCAUGHT:
            uncaught = None
        for depth in range(_DEPTH):
            if header is None or not _admit(space, header, found):
                break
            caught.setdefault(found[header], _Place(status.tid, depth, None if depth else uncaught))
            header = space.word(header + _NEXT)
    return caught, attributed and len(core.threads) <= _THREADS


def _last_caught(core: Core, space: AddressSpace, base: int, found: dict[int, int]) -> tuple[int | None, bool]:
    """Where the only word of a thread's TLS is that points at a header: the run-time keeps objects, not headers,
    elsewhere.

    And whether all of it could be read.
    """
    vector = space.word(base + _DTV) if base else None
    count = space.word(vector - 16) if vector else None
    if vector is None or count is None or not 0 < count <= _DTV_MOST:
        return None, False
    blocks: dict[int, int] = {}
    for number in range(1, count + 1):
        block, allocated = space.word(vector + 16 * number), space.word(vector + 16 * number + 8)
        if block and block % 8 == 0 and block != (1 << 64) - 1:
            blocks[block] = allocated or 0
    starts = sorted(blocks)
    known = bool(starts)
    for block, after in zip(starts, [*starts[1:], 1 << 64], strict=False):
        if blocks[block]:
            # Allocated for a module that was loaded later: what lies behind its chunk may be the next exception.
            end = blocks[block] + ((space.word(blocks[block] - 8) or 0) & ~7) - 8
        else:
            end = min(base, after) if block < base else block
        size = max(min(end - block, _BLOCK), 0)
        if not space.budget.take("tls_words", size // 8):
            return None, False
        raw = space.read_some(block, size)
        known = known and len(raw) == end - block
        for number, word in enumerate(words_of(raw)):
            if word & 15 == 0 and writable_at(core, word) and _admit(space, word, found):
                return block + 8 * number, True
    return None, known


def _exception(
    reader: _Reader, thrown: int, place: _Place | None, older: bool, holder: int | None
) -> CxxException | None:
    space = reader.space
    type_info = space.word(thrown - _HEADER)
    handlers = space.signed(thrown - _HEADER + _HANDLER_COUNT, 4)
    name = _type_name(space, type_info)
    if type_info is None or handlers is None:
        return None
    if name is not None:
        what, held = _what(reader, thrown, type_info, name)
    elif place is not None and space.word(type_info + 8) and space.read(space.word(type_info + 8) or 0, 1) is None:
        # The file with the name is not at hand; a class of the standard library still holds its text.
        what, held = None, _counted_text(space, space.word(thrown + 8))
    else:
        return None
    return CxxException(
        type=UNKNOWN if name is None else _readable(name, reader.demangle),
        what=what,
        base_text=held,
        address=Address(thrown),
        handler_count=handlers,
        tid=place.tid if place else None,
        depth=place.depth if place else None,
        uncaught=place.uncaught if place else None,
        older=older,
        nested_in=None if holder is None else Address(holder),
    )


def _readable(name: str, demangle: Callable[[str], str]) -> str:
    plain = demangle(f"_Z{name}") if name[0].isdigit() else "_Z"
    return demangle(f"_ZTI{name}").removeprefix("typeinfo for ") if plain.startswith("_Z") else plain


def _type_name(space: AddressSpace, type_info: int | None) -> str | None:
    pointer = space.word(type_info + 8) if type_info else None
    raw = space.cstring(pointer, 512) if pointer else None
    if not raw or not raw.isascii():
        return None
    name = raw.decode("ascii").removeprefix("*")
    return name if name.replace("_", "a").isalnum() else None


def _what(reader: _Reader, thrown: int, type_info: int, name: str) -> tuple[str | None, str | None]:
    """(text of what(), else a text that the standard base class holds)."""
    space = reader.space
    if name in _FUNDAMENTAL:
        value = space.signed(thrown, _FUNDAMENTAL[name])
        return None if value is None else str(value), None
    if name == "PKc":
        return _text(space, space.word(thrown)), None
    if name == "St9bad_alloc":
        return "std::bad_alloc", None
    part = _part_with_text(space, thrown, type_info, set())
    if part is None:
        return None, None
    held = _text(space, space.word(part + 8))
    table = space.word(part)
    slot = space.word(table + _WHAT_SLOT) if table else None
    what = (reader.function(slot) if slot else None) or ""
    if what == _FILESYSTEM_WHAT:
        impl = space.word(part + _FILESYSTEM_IMPL)
        whole = _text(space, space.word(impl + _FILESYSTEM_TEXT)) if impl else None
        return (whole, None) if whole else (None, held)
    # Every other what() of a class of std that has such a base returns the base's text.
    return (held, None) if what.startswith("std::") or name in _WITH_TEXT else (None, held)


def _part_with_text(space: AddressSpace, thrown: int, type_info: int, seen: set[tuple[int, int]]) -> int | None:
    """Where in an object its logic_error or runtime_error lies. seen: the parts (place, class) already looked at."""
    name = _type_name(space, type_info)
    if name is None or (thrown, type_info) in seen or len(seen) >= _PARTS:
        return None
    seen.add((thrown, type_info))
    if name in _WITH_TEXT:
        return thrown
    for base, offset in _bases(space, thrown, type_info):
        part = _part_with_text(space, thrown + offset, base, seen)
        if part is not None:
            return part
    return None


def _counted_text(space: AddressSpace, pointer: int | None) -> str | None:
    """The text of std::logic_error and std::runtime_error: its length lies three words before it."""
    length = space.word(pointer - _COUNTED) if pointer and pointer > _COUNTED else None
    raw = space.read(pointer, length + 1) if pointer and length and length < _LONGEST_TEXT else None
    if raw is None or raw[-1] or 0 in raw[:-1]:
        return None
    return raw[:-1].decode("utf-8", "backslashreplace")


_COUNTED, _LONGEST_TEXT = 24, 4096
UNKNOWN = "unknown"
"""The type where the name of the class lies in a file that is not at hand."""


def _base_types(space: AddressSpace, type_info: int) -> Iterator[int]:
    """type_info of each base of a class."""
    only = space.word(type_info + 16)
    if only is None:
        return
    flags, count = only & 0xFFFFFFFF, only >> 32
    if flags > 3 or not 0 < count <= _BASES:
        yield only
        return
    for number in range(count):
        base = space.word(type_info + 24 + 16 * number)
        if base is not None:
            yield base


def _bases(space: AddressSpace, thrown: int, type_info: int) -> Iterator[tuple[int, int]]:
    """(type_info, offset) of each base of the class of the object at `thrown`."""
    only = space.word(type_info + 16)
    if only is None:
        return
    flags, count = only & 0xFFFFFFFF, only >> 32
    if flags > 3 or not 0 < count <= _BASES:
        yield only, 0
        return
    for number in range(count):
        base = space.word(type_info + 24 + 16 * number)
        place = space.signed(type_info + 32 + 16 * number, 8)
        if base is None or place is None:
            return
        offset: int | None = place >> 8
        if place & 1:  # a virtual base: the offset is one into the vtable
            table = space.word(thrown)
            offset = space.signed(table + (place >> 8), 8) if table else None
        if offset is not None:
            yield base, offset


def _text(space: AddressSpace, pointer: int | None) -> str | None:
    raw = space.cstring(pointer, 4096) if pointer else None
    return None if raw is None else raw.decode("utf-8", "backslashreplace")
