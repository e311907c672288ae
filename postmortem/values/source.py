"""Source lines around frames, where the source is at hand.

A path in debug info is the builder's: it is mapped by --source-map, or taken as it stands. What a hostile file names as
its source is never shown unless its name is that of source code and it lies where the user allows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from parsers.limits import LIMITS
from postmortem.model import SourceLine
from postmortem.targets.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Frame

_AROUND = 3
_ENDINGS = frozenset(
    (
        *(".c", ".cc", ".cpp", ".cxx", ".c++", ".h", ".hh", ".hpp", ".hxx", ".inc", ".ipp", ".tcc", ".s", ".m", ".mm"),
        *(".rs", ".go", ".java", ".kt", ".scala", ".d", ".f", ".f90", ".zig"),
    )
)


class Sources:
    """Files of source by their path in debug info. maps: (what such a path begins with, the directory for it)."""

    def __init__(self, maps: Sequence[tuple[str, Path]], *, as_named: bool) -> None:
        """as_named: whether paths that no map has are opened as they stand."""
        self._maps = sorted(maps, key=lambda pair: -len(pair[0]))
        self._as_named = as_named
        self._lines: dict[str, list[bytes] | None] = {}

    def with_lines(self, frames: list[Frame]) -> list[Frame]:
        """The frames with the lines around theirs."""
        return [
            frame
            if frame.file is None or frame.line is None or not (lines := self._around(frame.file, frame.line))
            else msgspec.structs.replace(frame, source=lines)
            for frame in frames
        ]

    def _around(self, file: str, line: int) -> tuple[SourceLine, ...]:
        lines = self._of(file)
        if lines is None or not 0 < line <= len(lines):
            return ()
        first = max(1, line - _AROUND)
        return tuple(
            SourceLine(line=number, text=lines[number - 1][: LIMITS.value_text].decode("utf-8", "replace").rstrip())
            for number in range(first, min(len(lines), line + _AROUND) + 1)
        )

    def _of(self, file: str) -> list[bytes] | None:
        if file not in self._lines and len(self._lines) < LIMITS.source_files:
            self._lines[file] = self._read(file)
        return self._lines.get(file)

    def _read(self, file: str) -> list[bytes] | None:
        if Path(file).suffix.lower() not in _ENDINGS:
            return None
        for start, directory in self._maps:
            if file == start or file.startswith(f"{start.rstrip('/')}/"):
                return _lines(Path("/") / file[len(start) :].lstrip("/"), directory.absolute())
        return _lines(Path(file), Path("/")) if self._as_named and file.startswith("/") else None


def _lines(path: Path, root: Path) -> list[bytes] | None:
    content = open_regular(path, root)
    if isinstance(content, str) or len(content) > LIMITS.source_bytes:
        return None
    return bytes(content[:]).split(b"\n")
