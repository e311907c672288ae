"""Where the return address is at an instruction of generated code that builds or has left its frame.

Instructions are decoded, not matched: from the entry point down to the pc while the frame is being built
(HotSpot cpu/x86/c1_MacroAssembler_x86.cpp build_frame, macroAssembler_x86.cpp verified_entry), and from the
pc to the return when it is being left (x86_64.ad MachEpilogNode). In between None: the frame is whole.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.runtimes.hotspot.code.codecache import Blob
    from postmortem.runtimes.hotspot.layout.reading import Reading

_LONGEST_PROLOGUE = 192
_LONGEST_EPILOGUE = 48
_POLLS = frozenset(("test", "cmp", "ja", "jae", "nop", "vzeroupper"))


class FrameState(NamedTuple):
    """Offsets from rsp: of the return address, and of the caller's rbp (None: rbp still holds it)."""

    return_at: int
    saved_rbp_at: int | None


def frame_state(vm: Reading, blob: Blob, entry: int, pc: int) -> FrameState | None:
    """The state at `pc` in code entered at `entry`; None where the frame is complete or nothing can be told."""
    leaving = _leaving(vm.memory.read_some(pc, min(_LONGEST_EPILOGUE, blob.code_end - pc)), pc)
    if leaving is not None:
        return leaving
    if pc <= entry:
        # Before the entry lies the check of the receiver's class.
        return FrameState(0, None)
    if pc - entry > _LONGEST_PROLOGUE or (blob.frame_complete is not None and pc >= blob.frame_complete):
        return None
    return _building(vm.memory.read_some(entry, pc - entry), entry, pc, blob.frame_size)


def _building(code: bytes, entry: int, pc: int, frame_size: int) -> FrameState | None:
    depth, rbp_depth = 0, None
    for address, mnemonic, operands, size in _decode(code, entry):
        if address + size > pc:
            return None
        if mnemonic == "push":
            depth += 8
            if operands == "rbp" and rbp_depth is None:
                rbp_depth = depth
        elif mnemonic == "sub" and operands.startswith("rsp, "):
            depth += int(operands[5:], 0)
        elif mnemonic == "mov" and operands.endswith(", rbp") and operands.startswith("qword ptr [rsp"):
            displacement = operands[len("qword ptr [rsp") : operands.index("]")].replace(" ", "").lstrip("+")
            rbp_depth = depth - int(displacement or "0", 0)
        elif mnemonic in ("call", "ret", "jmp"):
            return None
    if depth and depth + 8 == frame_size and rbp_depth is not None:
        return None
    return FrameState(depth, None if rbp_depth is None else depth - rbp_depth)


def _leaving(code: bytes, pc: int) -> FrameState | None:
    depth, rbp_at = 0, None
    for _, mnemonic, operands, _ in _decode(code, pc):
        if mnemonic == "ret":
            return FrameState(depth, rbp_at)
        if mnemonic == "add" and operands.startswith("rsp, "):
            depth += int(operands[5:], 0)
        elif mnemonic == "pop":
            if operands == "rbp":
                rbp_at = depth
            depth += 8
        elif mnemonic not in _POLLS and not (mnemonic == "mov" and operands.startswith("r10, qword ptr [r15")):
            return None
    return None


@functools.cache
def _disassembler() -> Any:
    import capstone

    return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def _decode(code: bytes, address: int) -> Iterator[tuple[int, str, str, int]]:
    for at, size, mnemonic, operands in _disassembler().disasm_lite(code, address):
        yield at, mnemonic, operands, size
