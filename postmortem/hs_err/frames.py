"""Frames of a log as frames of the report.

A log gives the stack pointer of the first frame only, and a pc where it prints one or where module and offset lead to
it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Address, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.hs_err import model as log
    from postmortem.model import Module
    from postmortem.model.thread import Kind

_KINDS: dict[str, Kind] = {
    "V": "native",
    "C": "native",
    "j": "java-interpreted",
    "J": "java-compiled",
    "A": "java-compiled",
    "M": "java-interpreted",
    "v": "stub",
}
_METHODS = "jJAM"
_GENERATED = "jJAMv"
"""Kinds of lines that both lists have."""
_LARGEST_FUNCTION = 0x8000
"""Offset above which a name is that of the nearest exported symbol before pc, not of the function at pc."""
_SECTION_STARTS = ("_init", "_fini", "_start", "_end", "_edata", "__bss_start")
"""Symbols at the start of a section: what lies behind them is some other function."""
_LARGEST_OF_SECTION = 0x40
_GENERATED_STUB = re.compile(r"(\w+)_stub \(stub gen\)")
"""Since JDK 25 stubs are named with what made them: call_stub_stub (stub gen)."""
_STUB = re.compile(r"^~?(?:StubRoutines::|BufferBlob::|RuntimeStub::)?")


def stack(
    native: Sequence[log.Frame], java: Sequence[log.Frame], modules: Sequence[Module], pc: int | None, sp: int | None
) -> tuple[Frame, ...]:
    """One stack of the log's two lists.

    `Native frames` goes on through Java frames where the VM could walk them, and then has most of what `Java frames`
    repeats; else the second list is the first one's continuation. Without a frame pointer in the library the walk
    misses its caller, the native method.
    """
    lines = _spliced(native, java)
    return tuple(_frame(line, modules, pc if index == 0 else None, sp if index == 0 else None)
                 for index, line in enumerate(lines))  # fmt: skip


def _spliced(native: Sequence[log.Frame], java: Sequence[log.Frame]) -> list[log.Frame]:
    """The first list, with what only the second has put before the frame that follows it there."""
    lines: list[log.Frame] = []
    following = 0
    on_java = False
    for line in native:
        if line.kind in _GENERATED:
            found = _position(java, line, following)
            on_java = found is not None
            if found is not None:
                lines.extend(java[following:found])
                following = found + 1
        lines.append(line)
    if on_java or not any(line.kind in _METHODS for line in native):
        lines.extend(java[following:])
    return lines


def _position(java: Sequence[log.Frame], line: log.Frame, start: int) -> int | None:
    return next((index for index in range(start, len(java)) if _same(java[index], line)), None)


def _same(one: log.Frame, other: log.Frame) -> bool:
    return one.kind == other.kind and one.text.split() == other.text.split()


def _frame(line: log.Frame, modules: Sequence[Module], pc: int | None, sp: int | None) -> Frame:
    module = next((item for item in modules if item.path.rpartition("/")[2] == line.module), None)
    found = line.address
    if found is None and module is not None and line.module_offset is not None:
        found = module.bias + line.module_offset
    kind = _KINDS.get(line.kind, "unknown")
    function = line.method or line.function
    notes = []
    most = _LARGEST_OF_SECTION if function in _SECTION_STARTS else _LARGEST_FUNCTION
    if line.method is None and function is not None and (line.offset or 0) >= most:
        notes.append(f"{line.offset:#x} behind the exported symbol {function}")
        function = None
    if kind == "stub" and function is not None:
        function = _STUB.sub("", function)
        generated = _GENERATED_STUB.fullmatch(function)
        function = function if generated is None else generated[1]
    level = None if line.level is None else line.level.lower()  # JDK 8 prints C2
    if line.compile_id is not None:
        notes.append(f"compile id {line.compile_id}")
    if level is not None:
        notes.append(level)
    if line.osr:
        notes.append("OSR")
    if kind == "java-compiled" and level is None and line.bytecode_size == 0:
        notes.append("native wrapper")  # no compiler made it, and a native method has no bytecodes
    return Frame(
        pc=_address(found if found is not None else pc),
        sp=_address(sp),
        kind=kind,
        trust="context" if sp is not None else "hotspot",
        function=function,
        module=module.path if module is not None else line.module,
        module_offset=_address(line.module_offset),
        file=line.source_file,
        line=line.source_line,
        bci=line.bci,
        compile_level=4 if level == "c2" else None,
        note=", ".join(notes) or None,
    )


def _address(value: int | None) -> Address | None:
    return None if value is None else Address(value)
