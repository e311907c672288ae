"""Where a virtual thread's continuation was entered: the ContinuationEntry that lies on its carrier's stack.

Source: HotSpot share/runtime/continuationEntry.hpp, cpu/x86/sharedRuntime_x86_64.cpp gen_continuation_enter().
The frame of Continuation.enterSpecial is, from its stack pointer up: the ContinuationEntry, the saved rbp, the
return address. Words of the entry: one that is empty on x86, parent entry, Continuation, StackChunk, then flags
and the size of arguments in words, u32 each; the same in JDK 21, 25 and 27. From 25 on the tables tell its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.machines.x86_64 import steps as machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.runtimes.hotspot.code.activation import Activations
    from postmortem.runtimes.hotspot.code.codecache import Blob, CodeCache
    from postmortem.runtimes.hotspot.layout.reading import Reading

_RETURN_PC = "_ZN17ContinuationEntry10_return_pcE"
_METHOD = "jdk.internal.vm.Continuation.enterSpecial"
_ENTRY_WORDS = 5
_MOST_ARGUMENTS = LIMITS.continuationentry_arguments
_MOST_CODE = LIMITS.continuationentry_code
_CALL_SIZE = 5
_POST_CALL_NOP = b"\x0f\x1f\x84\x00"
"""What follows a call that can be returned to later: nopl disp32(%rax,%rax)."""


class ContinuationEntries:
    """Finds the frame of enterSpecial above the last frame that was thawed."""

    def __init__(
        self,
        vm: Reading,
        cache: CodeCache,
        activations: Activations,
        symbol: Callable[[str], int | None],
        is_code: Callable[[int], bool],
    ) -> None:
        """symbol: the address in memory of a symbol of libjvm."""
        self._vm = vm
        self._cache = cache
        self._activations = activations
        self._symbol = symbol
        self._is_code = is_code
        self._return_pc: int | None = None

    def above(self, thread: int, sp: int, high: int) -> tuple[int, int] | None:
        """(pc, sp) of enterSpecial's frame in the stack [sp, high) of the JavaThread at `thread`."""
        pc = self._returned_to()
        if pc is None:
            return None
        blob = self._cache.blob_at(pc - 1)
        if blob is None or not blob.frame_size:
            return None
        claimed = self._vm.field(thread, "JavaThread._cont_entry")
        if claimed is not None and sp <= claimed < high:
            return pc, claimed
        # Between the two lie the arguments of the last frame, and what aligns them.
        for place in range(sp, min(high, sp + 8 * _MOST_ARGUMENTS), 8):
            if self._is_entry(place, high, blob.frame_size):
                return pc, place
        return None

    def _is_entry(self, place: int, high: int, frame_size: int) -> bool:
        words = self._vm.memory.words(place, _ENTRY_WORDS)
        returns = self._vm.word(place + frame_size - 8)
        if place & 15 or words is None or not returns or not self._cache.covers(returns):
            return False
        _, parent, continuation, _, sizes = words
        is_parent = parent == 0 or place < parent < high
        is_sized = sizes & 0xFFFFFFFF in (0, 1) and sizes >> 32 < _MOST_ARGUMENTS
        return is_parent and is_sized and continuation > 0xFFFF and not continuation & 7 and self._is_code(returns - 1)

    def _returned_to(self) -> int | None:
        """Where enterSpecial goes on when its continuation yields or ends."""
        if self._return_pc is None:
            place = self._vm.static("ContinuationEntry._return_pc") or self._symbol(_RETURN_PC)
            pc = self._vm.word(place)
            self._return_pc = pc if pc and self._cache.covers(pc) else self._behind_thaw() or 0
        return self._return_pc or None

    def _behind_thaw(self) -> int | None:
        """Without symbols: behind the last call in enterSpecial's code, which thaws."""
        for blob in self._cache.blobs():
            if blob.kind == "native" and self._is_enter_special(blob):
                code = self._vm.memory.read(blob.code_begin, min(blob.code_end - blob.code_begin, _MOST_CODE))
                at = -1 if code is None else code.rfind(_POST_CALL_NOP)
                pc = blob.code_begin + at
                if at >= _CALL_SIZE and machine.follows_call(self._vm.memory, pc):
                    return pc
                return None
        return None

    def _is_enter_special(self, blob: Blob) -> bool:
        compiled = self._activations.compiled(blob, blob.code_end, 0, False)
        return any(frame.function == _METHOD for frame in compiled.virtual)
