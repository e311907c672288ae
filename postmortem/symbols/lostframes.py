"""Functions that optimisation left without a frame: tail calls, and inlined functions without instructions.

A function that ends in a jump to another one has no frame while that runs. The call instruction of its caller
still names it: where the target of a direct call is not the function of the frame above, that target was
called, and has left by a tail call. (gdb shows the same from DW_TAG_call_site.) A call by way of the procedure linkage
table names the function of a library that has no symbols but for those that it exports.

A frame that a scan of the stack found is confirmed where the frames above it lead by CFI, and by direct calls, from
main to the very function that it is in: what lies there is then no leftover of an earlier call.

A function can be inlined so that no instruction is its own: the compiler gives its DW_TAG_inlined_subroutine an
empty range at the instruction into which it was merged. Line tables name the caller alone there.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from postmortem.model.queries.culprit import skipped_module
from postmortem.model.queries.names import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.model import Frame
    from postmortem.symbols.naming import FrameNamer
    from postmortem.symbols.symbolizer import Location
    from postmortem.unwind.frame import RawFrame
    from postmortem.unwind.threads import ThreadWalk

_CONFIRMED = "found by scanning the stack; the calls from main confirm it"
_BEGINNING = "main"
_CALL = 0xE8
_CALL_SIZE = 5
_LINKAGE = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\xf2?\xff\x25(....)", re.DOTALL)
"""An entry of the procedure linkage table: [endbr64;] [bnd] jmp *slot."""
_LINKAGE_SIZE = 11
_LOOKED_AT = 64
"""Activations from the innermost on."""
_ADDRESSES = 1 << 64


class LostFrames:
    """Finds them for the threads of one process."""

    def __init__(
        self,
        read: Callable[[int, int], bytes | None],
        symbol_at: Callable[[int], tuple[str, int, int] | None],
        merged: Callable[[int, int], tuple[Location, ...]],
    ) -> None:
        """symbol_at: address → (name, offset into it, size). merged: (address, line) → functions, innermost first."""
        self._read = read
        self._symbol_at = symbol_at
        self._merged = merged
        self._called: dict[tuple[int, int, bool], str | None] = {}
        self._linked: dict[int, str | None] = {}

    def all(self, walks: Sequence[ThreadWalk], namer: FrameNamer) -> list[list[list[Frame]]]:
        """The named activations of every walk with what is missing."""
        return [self.restored(walked.walk.frames, namer.all(walked.walk), merged=walked.crashed) for walked in walks]

    def restored(self, raws: Sequence[RawFrame], named: Sequence[list[Frame]], merged: bool) -> list[list[Frame]]:
        """The named activations of a walk with what is missing. merged: look for merged inlines, too."""
        result = list(named)
        for index, raw in enumerate(raws[: min(len(named), _LOOKED_AT)]):
            frames = named[index]
            if raw.kind != "native" or not frames:
                continue
            if raw.trust == "scan":
                if self._is_called(raws, index):
                    result[index] = [msgspec.structs.replace(frame, trust="cfi", note=_CONFIRMED) for frame in frames]
                continue
            if raw.interrupted:
                # The C library's functions are never told apart by what was inlined into them.
                if merged and frames[0].line is not None and not skipped_module(frames[0].module or ""):
                    found = self._merged(raw.pc, frames[0].line)
                    result[index] = [*(_merged_frame(frames[0], location) for location in found), *frames]
            elif index and raws[index - 1].kind in ("native", "unknown"):
                called = self._tail_call(raw, raws[index - 1])
                if called is not None:
                    note = frames[0].note or f"it called {called}, which left by a tail call"
                    result[index] = [msgspec.structs.replace(frames[0], tail_call=called, note=note), *frames[1:]]
                elif (
                    (above := named[index - 1]) and above[-1].function is None and above[-1].module != frames[0].module
                ):
                    entered = self._entered(raw.pc)
                    if entered is not None:
                        result[index] = [msgspec.structs.replace(frames[0], entered=entered), *frames[1:]]
        return result

    def _is_called(self, raws: Sequence[RawFrame], index: int) -> bool:
        """Whether direct calls, each from a frame that CFI led to, lead down to the function of a scanned frame."""
        for callee, caller in pairwise(raws[index : index + _LOOKED_AT]):
            if caller.kind != "native" or caller.trust != "cfi":
                return False
            inside, target = self._symbol_at(callee.pc - 1), self._target(caller.pc)
            if inside is None or not inside[2] or target != callee.pc - 1 - inside[1]:
                return False
            caller_in = self._symbol_at(caller.pc - 1)
            if caller_in is not None and caller_in[0] == _BEGINNING:
                return True
        return False

    def _tail_call(self, outer: RawFrame, inner: RawFrame) -> str | None:
        key = (outer.pc, inner.pc, inner.interrupted)
        if key not in self._called:
            self._called[key] = self._missing(outer.pc, inner.pc if inner.interrupted else inner.pc - 1)
        return self._called[key]

    def _missing(self, returns_to: int, callee: int) -> str | None:
        """The function whose call returns to an address, if it is not that of the callee."""
        target = self._target(returns_to)
        if target is None:
            return None
        symbol, above = self._symbol_at(target), self._symbol_at(callee)
        if symbol is None or symbol[1] != 0 or not symbol[2]:
            return None  # through the PLT, or into the middle of something
        if above is None:
            # Where it went has no name, and may be no code at all.
            return None if target <= callee < target + symbol[2] else symbol[0]
        if callee - above[1] == target or plain(above[0]) == plain(symbol[0]):
            return None
        return symbol[0]

    def _entered(self, returns_to: int) -> str | None:
        """The exported function that a call by way of the procedure linkage table goes to."""
        if returns_to not in self._linked:
            target = self._target(returns_to)
            match = None if target is None else _LINKAGE.match(self._read(target, _LINKAGE_SIZE) or b"")
            slot = 0 if match is None else (target or 0) + match.end() + int.from_bytes(match[1], "little", signed=True)
            word = self._read(slot % _ADDRESSES, 8) if match is not None else None
            symbol = None if word is None else self._symbol_at(int.from_bytes(word, "little"))
            self._linked[returns_to] = symbol[0] if symbol is not None and not symbol[1] and symbol[2] else None
        return self._linked[returns_to]

    def _target(self, returns_to: int) -> int | None:
        """Where the direct call before a return address went."""
        code = self._read(returns_to - _CALL_SIZE, _CALL_SIZE)
        if code is None or code[0] != _CALL:
            return None
        return (returns_to + int.from_bytes(code[1:], "little", signed=True)) % _ADDRESSES


def _merged_frame(innermost: Frame, found: Location) -> Frame:
    return msgspec.structs.replace(
        innermost, function=found.function, line=found.line, inlined=True, note="merged into this instruction"
    )
