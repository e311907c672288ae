"""CPython in a process: that it is there, of which version, and what its allocator has freed. Its frames are not read.

The interpreter is linked into the executable or in libpython; either has _PyRuntime (3.7 on) and Py_GetVersion. Since
3.11 Py_Version holds PY_VERSION_HEX: a byte each of major, minor and micro version, a nibble each of level and serial
(Include/patchlevel.h). Before, the name of the file has major and minor version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.report import RuntimeState
from postmortem.runtimes.cpython import pools
from postmortem.runtimes.runtime import Runtime, State

if TYPE_CHECKING:
    from postmortem.model import Problem
    from postmortem.program.modules import LoadedModule
    from postmortem.program.program import Program
    from postmortem.runtimes.runtime import Asked
    from postmortem.symbols.symbolication import Symbolication

_NAME = re.compile(r"(?:lib)?python(3\.\d+|2\.7)?d?(?:\.so[\d.]*)?(?:m\.so[\d.]*)?")
_LEVELS = {0xA: "a", 0xB: "b", 0xC: "rc", 0xF: ""}


def attach(program: Program, symbols: Symbolication) -> tuple[CPython | None, list[Problem]]:
    """None for a process without an interpreter: no module has its name and its symbols."""
    modules = program.modules
    named = [module for module in (*modules.modules[:1], modules.named("libpython")) if module is not None]
    for module in named:
        name = module.path.rpartition("/")[2].removesuffix(" (deleted)")
        match = _NAME.fullmatch(name)
        if match is not None and symbols.address_of(module, "Py_GetVersion") is not None:
            return CPython(program, symbols, module, match[1]), []
    return None, []


class CPython(Runtime):
    """The interpreter of a process."""

    name = "cpython"

    def __init__(self, program: Program, symbols: Symbolication, module: LoadedModule, series: str | None) -> None:
        """series: the version that the file's name has."""
        self.problems: list[Problem] = []
        self._program, self._symbols, self._module, self._series = program, symbols, module, series

    def freed(self, address: int) -> str | None:
        """Blocks of its own allocator of small objects."""
        return pools.NAME if pools.freed(self._program.memory, address) else None

    def state(self, asked: Asked) -> State:
        """Its version."""
        at = self._symbols.address_of(self._module, "Py_Version")
        number = None if at is None else self._program.memory.word(at)
        return State(RuntimeState(name="CPython", version=_version(number) or self._series))


def _version(number: int | None) -> str | None:
    """ "3.11.2", "3.13.0rc1" of a PY_VERSION_HEX."""
    if number is None or not 0x02000000 <= number < 0x10000000:
        return None
    level, serial = _LEVELS.get(number >> 4 & 0xF), number & 0xF
    if level is None:
        return None
    text = f"{number >> 24}.{number >> 16 & 0xFF}.{number >> 8 & 0xFF}"
    return f"{text}{level}{serial}" if level else text
