"""Names for code generated at run time, from the map file that its runtime left for perf."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from parsers.perfmap import PerfMap, parse
from postmortem.model import Problem
from postmortem.targets.files import open_regular

if TYPE_CHECKING:
    from parsers.elf.core import Core
    from postmortem.targets.files import SearchPath


class GeneratedCode:
    """/tmp/perf-PID.map of the process, read when first a frame has no other name."""

    def __init__(self, core: Core, search: SearchPath) -> None:
        pid = core.process.pid if core.process is not None else None
        self._path = None if pid is None else Path(f"/tmp/perf-{pid}.map")
        self._root = search.root
        self._map: PerfMap | None = None
        self._opened = False
        self.problems: list[Problem] = []

    def name(self, pc: int) -> str | None:
        """The function at an address, with the offset into it."""
        if not self._opened:
            self._opened = True
            self._map = self._open()
        found = None if self._map is None else self._map.at(pc)
        return None if found is None else f"{found[0]}+{found[1]:#x}"

    def _open(self) -> PerfMap | None:
        if self._path is None:
            return None
        content = open_regular(self._path, self._root)
        if isinstance(content, str):
            return None
        with content:
            found = parse(piece for _, piece in content.pieces(0, LIMITS.map_bytes))
            beyond = len(content) - LIMITS.map_bytes
        if beyond > 0 or len(found) >= LIMITS.map_functions:
            self.problems.append(
                Problem(
                    stage="symbols",
                    where=str(self._path),
                    what=f"only {len(found)} functions are read, from {LIMITS.map_bytes} of {len(content)} bytes",
                )
            )
        self.problems.append(
            Problem(
                stage="symbols",
                where=str(self._path),
                what=f"{len(found)} names of generated code are from this file; nothing proves whose they are",
                hint="a process with the same number may have left it",
            )
        )
        return found
