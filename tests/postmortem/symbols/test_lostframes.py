"""Functions that left no frame are found again, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from postmortem.model import Address, Frame
from postmortem.symbols.lostframes import LostFrames
from postmortem.symbols.symbolizer import Location
from postmortem.unwind.frame import RawFrame

if TYPE_CHECKING:
    from postmortem.model.thread import Trust

MAIN, RELEASE, FREE, PLT = 0x1000, 0x2000, 0x3000, 0x4000
SYMBOLS = {MAIN: ("main", 0x100), RELEASE: ("release", 0x20), FREE: ("free", 0x80)}


def symbol_at(address: int) -> tuple[str, int, int] | None:
    for start, (name, size) in SYMBOLS.items():
        if start <= address < start + size:
            return name, address - start, size
    return None


def restored(
    call: bytes, merged: tuple[Location, ...] = (), trust: Trust = "cfi", line: int | None = None
) -> list[list[Frame]]:
    """free() at the fault, main() below it; `call`: the bytes before the address that free returns to."""
    raws = [
        RawFrame(FREE + 0x10, 0x7000, None, "native", "context", True),
        RawFrame(MAIN + 0x25, 0x7010, None, "native", trust, False),
    ]
    named = [
        [Frame(pc=Address(raw.pc), sp=Address(raw.sp), function=name, line=line, module="/opt/shop")]
        for raw, name in zip(raws, ("free", "main"), strict=True)
    ]
    lost = LostFrames(lambda address, size: call if address == MAIN + 0x20 else None, symbol_at, lambda pc, at: merged)
    return lost.restored(raws, named, merged=True)


def direct(target: int) -> bytes:
    return b"\xe8" + (target - (MAIN + 0x25)).to_bytes(4, "little", signed=True)


def test_a_call_to_another_function_than_the_frame_above_was_a_tail_call() -> None:
    frames = restored(direct(RELEASE))
    assert frames[1][0].tail_call == "release"
    assert frames[1][0].note == "it called release, which left by a tail call"
    assert frames[0][0].tail_call is None


def test_no_tail_call() -> None:
    for code in (direct(FREE), direct(FREE + 4), direct(PLT), b"\xff\xd0\x90\x90\x90"):
        assert restored(code)[1][0].tail_call is None
    assert restored(direct(RELEASE), trust="scan")[1][0].tail_call is None


@pytest.mark.parametrize("mark", [b"", b"\xf3\x0f\x1e\xfa", b"\xf3\x0f\x1e\xfa\xf2"])
@pytest.mark.parametrize(
    ("slot", "name", "module", "entered"),
    [
        (FREE, None, "/lib/libc.so.6", "free"),
        (FREE + 4, None, "/lib/libc.so.6", None),
        (PLT + 6, None, "/lib/libc.so.6", None),  # not resolved yet
        (FREE, "_int_free", "/lib/libc.so.6", None),
        (FREE, None, "/opt/shop", None),
    ],
)
def test_a_library_s_function_without_a_name_is_what_was_called_there(
    mark: bytes, slot: int, name: str | None, module: str, entered: str | None
) -> None:
    jump = mark + b"\xff\x25" + (0x5000 - (PLT + len(mark) + 6)).to_bytes(4, "little", signed=True)
    memory = {MAIN + 0x20: direct(PLT), PLT: jump.ljust(11, b"\x90"), 0x5000: slot.to_bytes(8, "little")}
    raws = [
        RawFrame(0x9010, 0x7000, None, "native", "context", True),
        RawFrame(MAIN + 0x25, 0x7010, None, "native", "cfi", False),
    ]
    named = [
        [Frame(pc=Address(0x9010), sp=Address(0x7000), function=name, module=module)],
        [Frame(pc=Address(MAIN + 0x25), sp=Address(0x7010), function="main", module="/opt/shop")],
    ]
    lost = LostFrames(lambda address, size: memory.get(address), symbol_at, lambda pc, at: ())
    found = lost.restored(raws, named, merged=False)[1][0]
    assert (found.entered, found.tail_call) == (entered, None)


def test_merged_inlines_stand_before_the_function_they_were_merged_into() -> None:
    merged = (Location("unlink", None, 7, True),)
    frames = restored(direct(FREE), merged, line=22)
    assert [(frame.function, frame.line, frame.inlined) for frame in frames[0]] == [
        ("unlink", 7, True),
        ("free", 22, False),
    ]
    assert len(restored(direct(FREE), merged)[0]) == 1, "without a line nothing says that it was called here"


SERVE = 0x5000


def scanned(calls: dict[int, bytes], *trusts: Trust) -> Frame:
    """release(), found by a scan, below serve() and main(); calls: return address → bytes of the call before it."""
    symbols = {**SYMBOLS, SERVE: ("serve", 0x40)}

    def at(address: int) -> tuple[str, int, int] | None:
        return next(((n, address - s, size) for s, (n, size) in symbols.items() if s <= address < s + size), None)

    places = (0x9000, RELEASE + 0x10, SERVE + 0x10, MAIN + 0x25)
    raws = [
        RawFrame(pc, 0x7000 + 16 * i, None, "native", trust, not i)
        for i, (pc, trust) in enumerate(zip(places, ("context", "scan", *trusts), strict=True))
    ]
    named = [[Frame(pc=Address(raw.pc), sp=Address(raw.sp), trust=raw.trust)] for raw in raws]
    lost = LostFrames(lambda address, size: calls.get(address + 5), at, lambda pc, line: ())
    return lost.restored(raws, named, merged=False)[1][0]


def call(returns_to: int, target: int) -> bytes:
    return b"\xe8" + (target - returns_to).to_bytes(4, "little", signed=True)


def test_a_scanned_frame_is_confirmed_by_the_calls_from_main() -> None:
    calls = {SERVE + 0x10: call(SERVE + 0x10, RELEASE), MAIN + 0x25: call(MAIN + 0x25, SERVE)}
    found = scanned(calls, "cfi", "cfi")
    assert found.trust == "cfi"
    assert found.note == "found by scanning the stack; the calls from main confirm it"


def test_a_scanned_frame_stays_a_guess() -> None:
    first, second = call(SERVE + 0x10, RELEASE), call(MAIN + 0x25, SERVE)
    called = {SERVE + 0x10: first, MAIN + 0x25: second}
    assert scanned(called, "scan", "cfi").trust == "scan"
    assert scanned(called, "cfi", "frame-pointer").trust == "scan"
    # main calls another function now: what serve() and release() left lies in that one's frame.
    assert scanned({**called, MAIN + 0x25: call(MAIN + 0x25, FREE)}, "cfi", "cfi").trust == "scan"
    assert scanned({**called, SERVE + 0x10: call(SERVE + 0x10, FREE)}, "cfi", "cfi").trust == "scan"
    assert scanned({SERVE + 0x10: first}, "cfi", "cfi").trust == "scan"  # by a pointer
    assert scanned({MAIN + 0x25: second}, "cfi", "cfi").trust == "scan"
