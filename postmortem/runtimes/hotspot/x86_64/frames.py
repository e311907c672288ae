"""Unwinding of what HotSpot generates on x86-64: interpreter, compiled methods, stubs, entry frames.

Source: HotSpot cpu/x86/frame_x86.hpp (interpreter frame slots), stubGenerator_x86_64.cpp (call stub),
share/runtime/javaCalls.hpp (JavaCallWrapper). Slots are words from the frame pointer. Only rbp survives a
Java frame; a caller reached from native code by CFI has its other callee-saved registers, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS
from postmortem.machines.x86_64 import steps as machine
from postmortem.machines.x86_64.registers import PC, RBP, RSP
from postmortem.runtimes.hotspot.code.stubs import UNUSED_CODE, codelet_at
from postmortem.runtimes.hotspot.x86_64.prologue import frame_state
from postmortem.unwind.frame import ForeignStep, RawFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.machines.machine import Registers
    from postmortem.model.thread import Trust
    from postmortem.runtimes.hotspot.code.activation import Activations, Compiled
    from postmortem.runtimes.hotspot.code.codecache import Blob, CodeCache
    from postmortem.runtimes.hotspot.code.stubs import StubNames
    from postmortem.runtimes.hotspot.layout.reading import Reading

_RBX, _R13 = 3, 13
_SENDER_SP_SLOT = -1
_CALL_STUB_SAVED = ((3, -7), (12, -8), (13, -9), (14, -10), (15, -11))
"""DWARF register, slot: what the call stub keeps for its C++ caller."""
_DEFAULT_WRAPPER_SLOT = -6
_COOKIE = 0xFFFFFFFFFFFFFFFF
"""stubGenerator_x86_64.cpp, generate_method_entry_barrier()."""
_MOST_STACK = LIMITS.frames_stack
_MOST_EXTRA_WORDS = 6
_MOST_ANCHORS = LIMITS.frames_anchors


class Anchor(NamedTuple):
    """The last Java frame of a thread when it left Java code: JavaFrameAnchor. pc or fp 0: not recorded."""

    sp: int
    pc: int
    fp: int


class Stack(NamedTuple):
    """A JavaThread's stack [low, high) with its anchor; thread: its address."""

    low: int
    high: int
    anchor: Anchor | None
    thread: int


class _Fixed(NamedTuple):
    """A call site in compiled code: the size of its frame and what it stands for, the same in every thread."""

    size: int
    compiled: Compiled


class HotSpotUnwinder:
    """Implements postmortem.unwind.frame.ForeignUnwinder for one VM."""

    trust: Trust = "hotspot"

    def __init__(
        self,
        vm: Reading,
        cache: CodeCache,
        activations: Activations,
        stubs: StubNames,
        stacks: Sequence[Stack],
        is_code: Callable[[int], bool],
        frozen: Callable[[Stack], tuple[RawFrame, ...]],
        entered: Callable[[Stack, int], tuple[int, int] | None],
    ) -> None:
        """frozen: the frames of the virtual thread mounted on a stack that still lie in the heap; entered: pc and
        sp of the frame below them on the stack, by the sp that follows the last one thawed."""
        self._vm = vm
        self._word = vm.memory.word
        self._words = vm.memory.words
        self._cache = cache
        self._activations = activations
        self._stubs = stubs
        self._stacks = stacks
        self._is_code = is_code
        self._frozen = frozen
        self._entered = entered
        self._call_stub_return = vm.static_word("StubRoutines._call_stub_return_address")
        self._return_barrier = vm.static_word("StubRoutines._cont_returnBarrier")
        self._wrapper_slot = vm.constant("frame::entry_frame_call_wrapper_offset") or _DEFAULT_WRAPPER_SLOT
        self._anchor_at = vm.offset("JavaCallWrapper._anchor")
        self._older: list[Anchor] = []
        self._fixed_frames: dict[int, _Fixed] = {}
        self.covers = cache.covers

    def step(self, registers: Registers, interrupted: bool) -> ForeignStep:
        """One activation; never raises for damaged memory."""
        pc, sp = registers[PC], registers[RSP]
        assert pc is not None
        assert sp is not None
        known = None if interrupted else self._fixed_frames.get(pc)
        if known is not None:
            pair = self._words(sp + known.size - 16, 2)
            if pair is not None and pair[1] > 0xFFFF and self._is_code(pair[1] - 1):
                return ForeignStep(
                    _registers(pair[1], sp + known.size, pair[0]),
                    "java-compiled",
                    known.compiled.virtual,
                    None,
                    known.compiled.level,
                    known.compiled.note,
                )
        blob = self._cache.blob_at(pc if interrupted else pc - 1)
        if blob is None:
            return self._nameless(registers, sp)
        if blob.kind in ("nmethod", "native"):
            return self._compiled(blob, registers, pc, sp, interrupted)
        if blob.kind == "interpreter":
            return self._interpreted(blob, registers, pc, sp, interrupted)
        if blob.kind == "stubs":
            return self._stub(blob, registers, pc, sp, interrupted)
        return self._other(blob, registers, pc, sp, interrupted)

    def resume(self, sp: int) -> Registers | None:
        """At the nearest anchor above `sp` on the same stack: the thread's own, or an older one passed before."""
        stack = self._stack(sp)
        if stack is None:
            return None
        anchors = [anchor for anchor in (stack.anchor, *self._older) if anchor and sp < anchor.sp < stack.high]
        if not anchors:
            return None
        anchor = min(anchors)
        pc = anchor.pc or self._word(anchor.sp - 8)
        if not pc or not self._cache.covers(pc):
            return None
        return _registers(pc, anchor.sp, anchor.fp or None)

    def _stack(self, sp: int) -> Stack | None:
        return next((stack for stack in self._stacks if stack.low <= sp < stack.high), None)

    def _returns(self, address: int) -> int | None:
        """The word at an address, if it can be a return address."""
        target = self._word(address)
        return target if target is not None and target > 0xFFFF and self._is_code(target - 1) else None

    def _nameless(self, registers: Registers, sp: int) -> ForeignStep:
        """In the code cache and in no blob: memory freed or not yet used. Its caller, if [sp] is one.

        An upcall stub builds a frame with rbp (UpcallLinker::make_upcall_stub); its code often lies there still.
        """
        target = self._returns(sp)
        caller = None if target is None else _registers(target, sp + 8, registers[RBP])
        frame = registers[RBP]
        stack = self._stack(sp)
        if caller is None and frame is not None and stack is not None and sp <= frame < stack.high:
            target = self._returns(frame + 8)
            caller = None if target is None else _registers(target, frame + 16, self._word(frame))
        return ForeignStep(caller, "stub", stub=UNUSED_CODE, why="no code blob holds the pc")

    # Compiled methods

    def _compiled(self, blob: Blob, registers: Registers, pc: int, sp: int, interrupted: bool) -> ForeignStep:
        compiled = self._activations.compiled(blob, pc, sp, interrupted)
        caller = None
        if interrupted:
            state = frame_state(self._vm, blob, compiled.entry, pc)
            if state is not None:
                target = self._returns(sp + state.return_at)
                if target is not None:
                    rbp = registers[RBP] if state.saved_rbp_at is None else self._word(sp + state.saved_rbp_at)
                    caller = _registers(target, sp + state.return_at + 8, rbp)
        if caller is None:
            caller = self._fixed(blob, sp)
        if not interrupted and compiled.virtual and not compiled.patched and blob.frame_size:
            self._fixed_frames[pc] = _Fixed(blob.frame_size, compiled)
        return ForeignStep(
            caller,
            "java-compiled",
            compiled.virtual,
            None if compiled.virtual else blob.name,
            compiled.level,
            compiled.note,
            f"no return address {blob.frame_size} bytes above sp",
        )

    def _fixed(self, blob: Blob, sp: int) -> Registers | None:
        """The caller above a frame of the blob's fixed size; words pushed on top of it are stepped over."""
        if not blob.frame_size:
            return None
        for extra in range(_MOST_EXTRA_WORDS):
            caller_sp = sp + blob.frame_size + 8 * extra
            pair = self._words(caller_sp - 16, 2)
            if pair is None:
                return None
            if pair[1] > 0xFFFF and self._is_code(pair[1] - 1):
                return _registers(pair[1], caller_sp, pair[0])
        return None

    # Interpreter

    def _interpreted(self, blob: Blob, registers: Registers, pc: int, sp: int, interrupted: bool) -> ForeignStep:
        fp = registers[RBP]
        codelet = codelet_at(self._vm, pc) if interrupted else None
        note = None if codelet is None else f"codelet {codelet}"
        built = None
        if fp is not None and not fp & 7 and sp - 8 < fp < sp + _MOST_STACK:
            built = self._activations.method(fp)
        if interrupted and (built is None or (codelet or "").startswith("method entry point")):
            # At a method's entry its frame isn't built: rbx is the Method, r13 the caller's stack pointer.
            entered = self._activations.methods.at(registers[_RBX])
            target = self._returns(sp)
            if entered is not None and target is not None and entered is not built:
                sender = registers[_R13] or 0
                caller = _registers(target, sender if sp < sender < sp + (1 << 16) else sp + 8, fp)
                return ForeignStep(caller, "java-interpreted", (self._activations.virtual(entered, 0),), note=note)
        if built is None or fp is None:
            # A Method in pages that are in neither core nor file: the frame's links still lead on.
            linked = None if fp is None or fp < sp else self._past_interpreted(fp)
            return ForeignStep(
                linked,
                "java-interpreted",
                stub="(a method that can't be read)",
                note=note,
                why="rbp is not that of an interpreter frame",
            )
        virtual = self._activations.interpreted(built, fp, registers[_R13])
        back = self._past_interpreted(fp)
        return ForeignStep(back, "java-interpreted", (virtual,), note=note, why="no return address above rbp")

    def _past_interpreted(self, fp: int) -> Registers | None:
        target = self._returns(fp + 8)
        sender = self._word(fp + 8 * _SENDER_SP_SLOT) or 0
        if not fp + 16 <= sender < fp + (1 << 20):
            sender = fp + 16
        return None if target is None else _registers(target, sender, self._word(fp))

    # Stubs and the rest

    def _stub(self, blob: Blob, registers: Registers, pc: int, sp: int, interrupted: bool) -> ForeignStep:
        if pc == self._call_stub_return and not interrupted:
            return self._entry_frame(registers, sp)
        if not interrupted and self._is_return_barrier(blob, pc):
            return self._at_return_barrier(registers, sp)
        found = self._stubs.at(pc if interrupted else pc - 1)
        inside = found is not None and found[1] >= blob.code_begin
        name = found[0] if found is not None and inside else blob.name
        caller = None
        if interrupted:
            entry = found[1] if found is not None and inside else None
            state = None if entry is None else frame_state(self._vm, blob, entry, pc)
            if state is not None and (target := self._returns(sp + state.return_at)) is not None:
                rbp = registers[RBP] if state.saved_rbp_at is None else self._word(sp + state.saved_rbp_at)
                caller = _registers(target, sp + state.return_at + 8, rbp)
        if caller is None:
            caller = self._linked(registers, sp)
        if caller is None:
            caller = self._frameless(registers, sp)
        return ForeignStep(caller, "stub", stub=name, why="nothing tells how to leave the stub")

    def _linked(self, registers: Registers, sp: int) -> Registers | None:
        """A frame that begins with push %rbp; mov %rsp,%rbp."""
        fp = registers[RBP]
        if fp is None or fp & 7 or not sp <= fp < sp + (1 << 16):
            return None
        # The nmethod entry barrier has pushed a word of ones before it, where it may put another stack pointer.
        back = fp + 16 if self._word(fp + 8) == _COOKIE else fp + 8
        target = self._returns(back)
        return None if target is None else _registers(target, back + 8, self._word(fp))

    def _frameless(self, registers: Registers, sp: int) -> Registers | None:
        target = self._returns(sp)
        if target is None or machine.follows_call(self._vm.memory, target) is False:
            return None
        return _registers(target, sp + 8, registers[RBP])

    def _other(self, blob: Blob, registers: Registers, pc: int, sp: int, interrupted: bool) -> ForeignStep:
        """Runtime stubs have a fixed frame; adapters, vtable stubs and the frameless rest return through [sp]."""
        caller: Registers | None = None
        if interrupted and blob.frame_size and (state := frame_state(self._vm, blob, blob.code_begin, pc)):
            target = self._returns(sp + state.return_at)
            if target is not None:
                rbp = registers[RBP] if state.saved_rbp_at is None else self._word(sp + state.saved_rbp_at)
                caller = _registers(target, sp + state.return_at + 8, rbp)
        caller = caller or self._fixed(blob, sp)
        if caller is None and blob.kind in ("adapter", "vtable"):
            caller = self._frameless(registers, sp)
        caller = caller or self._linked(registers, sp) or self._frameless(registers, sp)
        return ForeignStep(caller, "stub", stub=blob.name or "code blob", why="nothing tells how to leave the stub")

    def _entry_frame(self, registers: Registers, sp: int) -> ForeignStep:
        """C++ called Java here: the call stub keeps a frame on rbp with its caller's registers in it."""
        fp = registers[RBP]
        if fp is None or fp & 7 or not sp <= fp < sp + _MOST_STACK:
            return ForeignStep(None, "stub", stub="call_stub", why="rbp is not that of an entry frame")
        wrapper = self._word(fp + 8 * self._wrapper_slot)
        if wrapper and self._anchor_at is not None and len(self._older) < _MOST_ANCHORS:
            words = self._vm.memory.words(wrapper + self._anchor_at, 3)
            if words is not None and words[0]:
                self._older.append(Anchor(*words))
        target = self._returns(fp + 8)
        if target is None:
            return ForeignStep(None, "stub", stub="call_stub", why="no return address above rbp")
        caller: Registers = _registers(target, fp + 16, self._word(fp))
        for register, slot in _CALL_STUB_SAVED:
            caller[register] = self._word(fp + 8 * slot)
        return ForeignStep(caller, "stub", stub="call_stub")

    # Virtual threads

    def _is_return_barrier(self, blob: Blob, pc: int) -> bool:
        """Whether a frame was patched to return to the stub that thaws its caller."""
        if self._return_barrier is None:
            self._return_barrier = self._stubs.entry("cont_returnBarrier") or 0
        if self._return_barrier:
            return pc == self._return_barrier
        # Not named: it is no place behind a call, as every true return address is.
        return "ontinuation" in blob.name and machine.follows_call(self._vm.memory, pc) is False

    def _at_return_barrier(self, registers: Registers, sp: int) -> ForeignStep:
        """The rest of a virtual thread's frames is still in the heap; then the carrier's enterSpecial follows."""
        stack = self._stack(sp)
        entered = None if stack is None else self._entered(stack, sp)
        return ForeignStep(
            None if entered is None else _registers(*entered, registers[RBP]),
            "stub",
            stub="continuation return barrier",
            why="where the continuation was entered is not known",
            inserted=() if stack is None else self._frozen(stack),
        )


def _registers(pc: int, sp: int, rbp: int | None) -> Registers:
    """By DWARF number: rbp is 6, rsp 7, the pc 16; the others are lost."""
    return [None, None, None, None, None, None, rbp, sp, None, None, None, None, None, None, None, None, pc]
