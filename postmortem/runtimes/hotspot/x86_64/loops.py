"""Loops of compiled code that never look whether the thread is asked to stop.

Compiled code polls by a read of the polling page (a test of [rip+…], or of an address that a register holds), or by a
comparison with a word of the thread, which r15 points at (cpu/x86/{macroAssembler,c1_LIRAssembler}_x86.cpp,
x86_64.ad). What it calls polls on its own. C2 leaves the poll out of a counted loop; with strip mining it wraps a loop
around it that polls after some iterations (LoopStripMiningIter), so then all loops around an instruction count.
"""

from __future__ import annotations

import re

from parsers.limits import LIMITS

LONGEST = LIMITS.lobject_longest
"""Bytes of code that are looked at."""
_POLL = re.compile(r"test \w+ ptr \[(?:rip [+-] )?\w+\], eax|.*\[r15( [+-].*)?\].*")
_TARGET = re.compile(r"j\w+ (0x[0-9a-f]+)$")


def polled(code: bytes, start: int, pc: int, strip_mined: bool) -> bool | None:
    """Whether the loop around pc polls or calls, or with strip mining any loop around it; None when it is in none.

    code: a method's, which begins at start.
    """
    import capstone

    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.skipdata = True
    polls: list[int] = []
    loops: list[tuple[int, int]] = []
    for address, _, mnemonic, operands in engine.disasm_lite(code[:LONGEST], start):
        text = f"{mnemonic} {operands}"
        if mnemonic == "call" or _POLL.fullmatch(text):
            polls.append(address)
        elif (jump := _TARGET.match(text)) is not None and int(jump[1], 16) <= pc <= address:
            loops.append((int(jump[1], 16), address))
    if not loops:
        return None
    if not strip_mined:
        loops = [min(loops, key=lambda loop: loop[1] - loop[0])]
    return any(first <= address <= last for first, last in loops for address in polls)
