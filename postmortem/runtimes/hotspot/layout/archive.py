"""Pages of the class data sharing archive that the core left out, read from the archive file.

Read-only parts of classes.jsa are file mappings, which cores made with the kernel's default coredump_filter
lack. The file is used only when it is the one that was mapped: its header begins with a magic number and a
checksum over the rest of the header, which holds the checksums of all regions (HotSpot share/cds/filemap.hpp;
share/memory/filemap.hpp before JDK 15), and the VM keeps a copy of that header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model.queries.files import present
from postmortem.program.memory import Piece
from postmortem.runtimes.hotspot.layout.reading import problem
from postmortem.targets.files import open_regular

if TYPE_CHECKING:
    from postmortem.model import Problem
    from postmortem.program.program import Program
    from postmortem.runtimes.hotspot.layout.reading import Reading

_SUFFIX = ".jsa"
_MAGICS = (0xF00BABA2, 0xF00BABA8)
_HEADER_SEARCH = LIMITS.archive_header_search


def add_pages(program: Program, vm: Reading) -> list[Problem]:
    """Lay the archive's pages under the core's; what can't be is a Problem."""
    core, space, search = program.core, program.memory, program.search
    problems: list[Problem] = []
    rows = [row for row in core.files if present(row.path).endswith(_SUFFIX)]
    for path in dict.fromkeys(row.path for row in rows):
        missing = [row for row in rows if row.path == path and space.read(row.end - 8, 8) is None]
        if not missing:
            continue
        content = open_regular(search.named(path), search.root)
        why = content if isinstance(content, str) else _difference(vm, bytes(content[:8]))
        if isinstance(content, str) or why is not None:
            problems.append(
                problem(
                    path,
                    f"pages of the class data sharing archive are not in the core and its file can't serve: {why}; "
                    "classes and methods in it have no names",
                    "give the container's files with --sysroot",
                )
            )
            continue
        for row in missing:
            available = min(row.end - row.start, len(content) - row.offset)
            if available > 0:
                space.add_file(Piece(row.start, row.start + available, content, row.offset))
    return problems


def _difference(vm: Reading, start: bytes) -> str | None:
    """Why an archive that starts so isn't the mapped one; None when it is."""
    if int.from_bytes(start[:4], "little") not in _MAGICS:
        return "it is no archive"
    header = vm.field(vm.static_word("FileMapInfo._current_info"), "FileMapInfo._header")
    copy = vm.memory.read_some(header, _HEADER_SEARCH) if header else b""
    if not copy:
        return "the VM's copy of its header is not in the core"
    return None if start in copy else "its checksum is not that of the archive that was mapped"
