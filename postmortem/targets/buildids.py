"""ELF files of the named debug directories by their build-id, whatever they are called.

objcopy --only-keep-debug, dh_strip, debuginfod's cache (BUILDID/debuginfo) and copies of unstripped programs each have
names of their own; the build-id is what proves a file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from parsers.elf.symbols import Sections
from parsers.errors import ParseError
from parsers.limits import LIMITS
from postmortem.targets.files import SearchPath, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parsers.filebytes import FileBytes

_ELF = b"\x7fELF"


class BuildIds:
    """Made when a file is first asked for; directories are walked to a depth and a number of files that have bounds.

    Links to directories are not followed.
    """

    def __init__(self, directories: Sequence[Path], sysroot: Path | None = None) -> None:
        self._directories = directories
        self._search = SearchPath(sysroot=sysroot)
        self._found: dict[str, list[Path]] | None = None

    def files(self, build_id: str | None) -> Sequence[Path]:
        """The files with a build-id, in the order of the directories and of their names."""
        if not build_id or not self._directories:
            return ()
        if self._found is None:
            self._found = {}
            for path in self._candidates():
                identity = self._identity(path)
                if identity is not None:
                    self._found.setdefault(identity, []).append(path)
        return self._found.get(build_id, ())

    def _candidates(self) -> Iterator[Path]:
        left = LIMITS.debug_files
        for directory in self._directories:
            base = len(directory.absolute().parts)
            for folder, folders, names in os.walk(directory.absolute()):
                folders.sort()
                if len(Path(folder).parts) - base >= LIMITS.debug_directory_depth:
                    folders.clear()
                for name in sorted(names):
                    if left <= 0:
                        return
                    left -= 1
                    yield Path(folder) / name

    def _identity(self, path: Path) -> str | None:
        content = open_regular(*self._search.allowed(path))
        if isinstance(content, str):
            return None
        with content:
            try:
                return Sections(content).build_id if content[:4] == _ELF else None
            except ParseError:
                return None


def has_code(content: FileBytes) -> bool:
    """Whether an ELF file holds the program's own bytes: a separate debug file has sections without contents."""
    try:
        return not Sections(content).lacks_code
    except ParseError:
        return True  # without a table of sections nothing was taken out of it
