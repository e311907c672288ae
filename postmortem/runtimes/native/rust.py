"""A Rust panic's message where its text on stderr left no trace: the payload, and the place from the code.

std::panicking keeps the payload in the frames of rust_begin_unwind: a String {capacity, pointer, length in any order}
or a &str {pointer, length} (library/std/src/panicking.rs). Its place is a constant &Location {file pointer, file
length, u32 line, u32 column} that the panicking function passes (core/src/panic/location.rs). A panic that is being
unwound lies in an exception of class "MOZ\\0RUST", whose payload is a Box<dyn Any> at +40, behind a canary, or at +32
(library/panic_unwind/src/gcc.rs); at +24 (private_2) libgcc keeps the stack pointer of the frame that takes it. Older
versions, as 1.63, have six private words in their _Unwind_Exception, so that it is 32 bytes further on, behind zeros.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.machines.x86_64.constants import constants_at_call
from postmortem.model import Address
from postmortem.model.report import RustPanic
from postmortem.runtimes.native.places import words_of, writable_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.elf.core import Core
    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace
    from postmortem.runtimes.native.places import Places

NAME = "Rust"
_BEGIN = re.compile(r"(?:.*::)?rust_begin_unwind|(?:.*::)?begin_panic_handler")
_PANICS = re.compile(r"core::(?:panicking|option|result|slice|str|cell|num)::.*|std::panicking::begin_panic.*")
_CLASS = b"MOZ\0RUST"
_CLASSES = (_CLASS, _CLASS[::-1])
_LONGEST, _LONGEST_FRAME, _LONGEST_FILE = LIMITS.rust_text, LIMITS.rust_frame, LIMITS.rust_file
_STOP, _TAKEN_AT = 16, 24
"""private_1, which is set where a thread is cancelled, and private_2."""
_PAYLOAD, _UNUSED = 32, 4
"""Where the payload begins at the earliest, and how many words older versions leave unused there."""
_BOUNDARY = re.compile(r"core::panicking::panic_(?:in_cleanup|cannot_unwind|no_unwind)")
_PASSES = re.compile(r"core::panicking::panic_no_unwind")
"""What a function that lets no panic out calls in older versions: the panic is on its way to a frame further out."""
_MOST = 16
_FIRST, _FRAMES = 8, 64
"""The exception that a landing pad resumes is looked for so many frames above the panic."""


def message(
    core: Core, space: AddressSpace, frames: Sequence[Frame], start_of: Callable[[int], int | None]
) -> str | None:
    """ "panicked at src/main.rs:7:9: text", as far as it is known. start_of: of the function at an address."""
    begin = next((index for index, frame in enumerate(frames) if _BEGIN.fullmatch(frame.function or "")), None)
    if begin is None:
        return None
    text = _payload(core, space, frames, begin)
    place = _place(space, frames, begin, start_of)
    if text is None and place is None:
        return None
    return "panicked at " + ": ".join(part for part in (place, text) if part)


def panics(core: Core, space: AddressSpace, places: Places, frames: Sequence[Frame]) -> tuple[RustPanic, ...]:
    """The panics that were being unwound, the one that goes furthest first.

    What a landing pad resumes lies on the stack. One that ended at a function that lets no panic out is dropped there,
    and is looked for in the rest of the memory: it was to be taken by that function's frame.
    """
    begin = next((index for index, frame in enumerate(frames) if _BEGIN.fullmatch(frame.function or "")), 0)
    first, last = frames[begin].sp, frames[min(begin + _FRAMES, len(frames) - 1)].sp
    if first is None or last is None:
        return ()
    found: dict[int, RustPanic] = {}
    for word in words_of(space.read_some(first & ~7, min(max(last - first, 0) + 256, LIMITS.rust_stack))):
        if len(found) < _MOST and word not in found and word & 7 == 0 and writable_at(core, word):
            panic = _panic(core, space, word)
            if panic is not None and panic.taken_at > first:
                found[word] = panic
    boundary = next((i for i, frame in enumerate(frames) if _BOUNDARY.fullmatch(frame.function or "")), None)
    taker = next((f.sp for f in frames[boundary + 1 :] if not f.inlined), None) if boundary is not None else None
    if taker is not None and not any(panic.taken_at == taker for panic in found.values()):
        passes = _PASSES.fullmatch(frames[boundary or 0].function or "") is not None
        panic = _unwound_to(core, space, places, taker, last if passes else taker)
        if panic is not None:
            found[panic.address] = panic
    return tuple(sorted(found.values(), key=lambda panic: -panic.taken_at))


def _unwound_to(core: Core, space: AddressSpace, places: Places, taker: int, last: int) -> RustPanic | None:
    """The panic that the frame at `taker` was to take; else the only one that a frame further out was to, up to `last`:
    it was on its way through."""
    further: dict[int, RustPanic] = {}
    for address, raw in places.pieces():
        for kind in _CLASSES:
            at = raw.find(kind)
            while at >= 0:
                panic = _panic(core, space, address + at)
                if panic is not None and panic.taken_at == taker:
                    return panic
                if panic is not None and taker < panic.taken_at <= last and len(further) < _MOST:
                    further[panic.address] = panic
                at = raw.find(kind, at + 8)
    return next(iter(further.values())) if len(further) == 1 and not places.exhausted else None


def _panic(core: Core, space: AddressSpace, exception: int) -> RustPanic | None:
    if space.read(exception, len(_CLASS)) not in _CLASSES:
        return None
    stop, taken_at = space.word(exception + _STOP), space.word(exception + _TAKEN_AT)
    if stop != 0 or not taken_at:
        return None
    unused = space.words(exception + _PAYLOAD, _UNUSED)
    for offset in (72, 64) if unused == (0,) * _UNUSED else (40, 32):
        data = space.word(exception + offset)
        fields = space.words(data, 3) if data else None
        text = None if fields is None else _string(core, space, fields) or _literal(core, space, fields)
        if text is not None:
            return RustPanic(address=Address(exception), taken_at=Address(taken_at), text=text)
    return RustPanic(address=Address(exception), taken_at=Address(taken_at))


def _literal(core: Core, space: AddressSpace, fields: Sequence[int]) -> str | None:
    """Two words as a &str of the program's constants."""
    pointer, length = fields[:2]
    if not 0x10000 < pointer < 1 << 47 or writable_at(core, pointer) or not 0 < length <= _LONGEST:
        return None
    return _utf8(space, pointer, length)


def _payload(core: Core, space: AddressSpace, frames: Sequence[Frame], begin: int) -> str | None:
    """The text in the frames of the panic handler: a String before a &str."""
    first = next((frame.sp for frame in frames[max(begin - 3, 0) : begin + 1] if frame.sp is not None), None)
    outer = next((frame.sp for frame in frames[begin + 1 :] if frame.sp is not None and not frame.inlined), None)
    if first is None or outer is None or not 0 < outer - first <= _LONGEST_FRAME:
        return None
    words = words_of(space.read_some(first & ~7, outer - first))
    for at in range(len(words) - 2):
        text = _string(core, space, words[at : at + 3])
        if text is not None:
            return text
    for pointer, length in itertools.pairwise(words):
        if not writable_at(core, pointer) and 0 < length <= _LONGEST:
            text = _utf8(space, pointer, length)
            if text is not None and " " in text and not text.endswith(".rs"):
                return text
    return None


def _string(core: Core, space: AddressSpace, fields: Sequence[int]) -> str | None:
    """Three words as a String: pointer into the heap, capacity and length."""
    for index, pointer in enumerate(fields):
        if not 0x10000 < pointer < 1 << 47 or not writable_at(core, pointer):
            continue
        low, high = sorted(value for at, value in enumerate(fields) if at != index)
        if 0 < low <= _LONGEST and high <= LIMITS.rust_capacity:
            return _utf8(space, pointer, low)
    return None


def _utf8(space: AddressSpace, pointer: int, length: int) -> str | None:
    raw = space.read(pointer, length)
    try:
        text = "" if raw is None else raw.decode()
    except UnicodeDecodeError:
        return None
    return text if len(text) > 1 and all(c.isprintable() or c in "\n\t" for c in text) else None


def _place(
    space: AddressSpace, frames: Sequence[Frame], begin: int, start_of: Callable[[int], int | None]
) -> str | None:
    """ "src/main.rs:7:9", from the constants of the call that panicked."""
    last = None
    for index in range(begin + 1, min(begin + _FIRST, len(frames))):
        if not _PANICS.match(frames[index].function or ""):
            break
        last = index if not frames[index].inlined else last
    returns_to = next((frame.pc for frame in frames[last + 1 :]), None) if last is not None else None
    if returns_to is not None:
        for value in constants_at_call(space, returns_to, start_of(returns_to - 1)).values():
            found = location(space, value)
            if found is not None:
                return found
    return None


def location(space: AddressSpace, address: int) -> str | None:
    """A core::panic::Location as "file:line:column"."""
    fields = space.words(address, 3) if address > 0x10000 else None
    if fields is None or not 0 < fields[1] <= _LONGEST_FILE:
        return None
    raw = space.read(fields[0], fields[1])
    line, column = fields[2] & 0xFFFFFFFF, fields[2] >> 32
    if raw is None or not raw.endswith(b".rs") or not raw.isascii() or not 0 < line < 1 << 24:
        return None
    return f"{raw.decode()}:{line}:{column}"
