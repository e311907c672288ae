"""CPython in a process: by its module and symbol; its version."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.cpython.attach import attach

if TYPE_CHECKING:
    from postmortem.program.program import Program
    from postmortem.runtimes.runtime import Asked
    from postmortem.symbols.symbolication import Symbolication

AT = 0x5000


def _attached(path: str, symbols: dict[str, int], number: int = 0x030B02F0) -> object:
    module = SimpleNamespace(path=path, start=0x1000)
    modules = SimpleNamespace(modules=[module], named=lambda name: None)
    memory = AddressSpace([Piece(AT, AT + 8, struct.pack("<Q", number), 0)])
    program = SimpleNamespace(modules=modules, memory=memory)
    found = SimpleNamespace(address_of=lambda module, name: symbols.get(name))
    runtime, problems = attach(cast("Program", program), cast("Symbolication", found))
    assert not problems
    if runtime is None:
        return None
    summary = runtime.state(cast("Asked", None)).summary
    assert summary is not None
    return summary.name, summary.version


@pytest.mark.parametrize(
    ("path", "symbols", "number", "found"),
    [
        ("/usr/bin/python3.11", {"Py_GetVersion": 1, "Py_Version": AT}, 0x030B02F0, ("CPython", "3.11.2")),
        ("/usr/bin/python3.13", {"Py_GetVersion": 1, "Py_Version": AT}, 0x030D00C1, ("CPython", "3.13.0rc1")),
        ("/usr/bin/python3.9", {"Py_GetVersion": 1}, 0, ("CPython", "3.9")),
        ("/usr/bin/python3.12", {"Py_GetVersion": 1, "Py_Version": AT}, 0xFFFFFFFF, ("CPython", "3.12")),
        ("/usr/lib/libpython3.11.so.1.0", {"Py_GetVersion": 1, "Py_Version": AT}, 0x030B02F0, ("CPython", "3.11.2")),
        ("/opt/python", {"Py_GetVersion": 1}, 0, ("CPython", None)),
        ("/usr/bin/python3.11 (deleted)", {"Py_GetVersion": 1}, 0, ("CPython", "3.11")),
        ("/usr/bin/python3.11", {}, 0, None),
        ("/usr/bin/pythonista", {"Py_GetVersion": 1}, 0, None),
    ],
)
def test_the_interpreter(path: str, symbols: dict[str, int], number: int, found: object) -> None:
    assert _attached(path, symbols, number) == found
