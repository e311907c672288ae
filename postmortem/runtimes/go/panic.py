"""What Go's run-time said last: the value of the panic, or the text of a fatal error.

A panic's value is the argument of runtime.gopanic, an interface {type, data}, which lies where every function of Go
keeps its first arguments, at its CFA (src/cmd/compile/abi-internal.md). Types: src/internal/abi/type.go; names: offsets
into the module's types, one byte of flags, the length as a varint, text. The errors of the run-time:
src/runtime/error.go. The text of a fatal error is printed before the run-time counts as panicking, so
runtime.printBacklog keeps it (src/runtime/print.go).
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from parsers.elf.notes import text as as_text
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace

NAME = "Go"
_BACKLOG = 512
_LONGEST = LIMITS.panic_longest
_STRING, _POINTER, _INT = 24, 22, 2
_KIND = 0x1F
_EXTRA_STAR = 2
_BOUNDS = (
    "index out of range [{x}] with length {y}",
    "slice bounds out of range [:{x}] with length {y}",
    "slice bounds out of range [:{x}] with capacity {y}",
    "slice bounds out of range [{x}:{y}]",
    "slice bounds out of range [::{x}] with length {y}",
    "slice bounds out of range [::{x}] with capacity {y}",
    "slice bounds out of range [:{x}:{y}]",
    "slice bounds out of range [{x}:{y}:]",
    "cannot convert slice with length {x} to array or pointer to array with length {y}",
)
_RUNTIME_ERRORS = ("runtime.errorString", "runtime.errorAddressString", "runtime.plainError")
_THROWING = ("runtime.throw", "runtime.fatal")
_LARGEST_FRAME = 1 << 10
_FATAL = re.compile(rb"fatal error: [^\0\n]{1,500}")


def message(space: AddressSpace, symbol: Callable[[str], int | None], frames: Sequence[Frame]) -> str | None:
    """The panic or fatal error of a Go process whose crashing stack is `frames`; None where there was none."""
    for frame, caller in itertools.pairwise(frames):
        if frame.function == "runtime.gopanic" and caller.sp is not None:
            pair = space.words(caller.sp, 2)
            value = None if pair is None else _value(space, symbol, pair[0], pair[1])
            return None if value is None else f"panic: {value}"
    backlog = symbol("runtime.printBacklog")
    if backlog is None:
        return _thrown(space, frames)
    found = _FATAL.search(_unrolled(space, symbol, backlog))
    return None if found is None else as_text(found[0])


def _thrown(space: AddressSpace, frames: Sequence[Frame]) -> str | None:
    """The text given to throw() or fatal(), from the closure in their frame that prints it."""
    for frame, caller in itertools.pairwise(frames):
        if frame.function not in _THROWING or frame.sp is None or caller.sp is None:
            continue
        size = caller.sp - frame.sp
        if not 0 < size <= _LARGEST_FRAME:
            return None
        for at in range(frame.sp, caller.sp - 8, 8):
            text = _string(space, at)
            if text is not None and text.isprintable():
                return f"fatal error: {text}"
    return None


def _unrolled(space: AddressSpace, symbol: Callable[[str], int | None], backlog: int) -> bytes:
    """The ring of printed bytes, oldest first."""
    ring = space.read(backlog, _BACKLOG) or b""
    where = symbol("runtime.printBacklogIndex")
    index = (space.word(where) or 0) % _BACKLOG if where is not None else 0
    return ring[index:] + ring[:index]


def _value(space: AddressSpace, symbol: Callable[[str], int | None], kind_of: int, data: int) -> str | None:
    """An interface's value as the run-time prints it; of types that it can't print, the type's name."""
    header = space.read(kind_of, 48)
    if header is None:
        return None
    name = _type_name(space, symbol("runtime.types"), header) or "a value of unknown type"
    kind = header[23] & _KIND
    if name == "runtime.boundsError":
        return _bounds(space, data)
    prefix = "runtime error: " if name in _RUNTIME_ERRORS[:2] else ""
    if kind in (_STRING, _POINTER) or name in _RUNTIME_ERRORS:
        # A string; or a pointer to an error, whose text is its first field as a rule.
        text = _string(space, data)
        if text is not None:
            return f"{prefix}{text}" if kind != _POINTER else f"{text} ({name})"
    if kind == _INT:
        number = space.word(data)
        return None if number is None else f"{name}({number - (number >> 63 << 64)})"
    return f"({name})"


def _string(space: AddressSpace, at: int) -> str | None:
    pair = space.words(at, 2)
    if pair is None or not 0 < pair[1] < 1 << 20:
        return None
    raw = space.read_some(pair[0], min(pair[1], _LONGEST))
    return as_text(raw) if raw and b"\0" not in raw else None


def _bounds(space: AddressSpace, at: int) -> str | None:
    raw = space.read(at, 18)
    if raw is None or raw[17] >= len(_BOUNDS):
        return None
    index = int.from_bytes(raw[:8], "little", signed=bool(raw[16]))
    return "runtime error: " + _BOUNDS[raw[17]].format(x=index, y=int.from_bytes(raw[8:16], "little", signed=True))


def _type_name(space: AddressSpace, types: int | None, header: bytes) -> str | None:
    if types is None:
        return None
    at = types + int.from_bytes(header[40:44], "little", signed=True)
    raw = space.read_some(at, 2 + 127)
    if len(raw) < 2 or raw[1] > 127:
        return None
    name = as_text(raw[2 : 2 + raw[1]])
    return name.removeprefix("*") if header[20] & _EXTRA_STAR else name
