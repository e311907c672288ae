"""The package that a module belongs to, by its .note.package (systemd's "Package Metadata for Executable Files").

Note type 0xcafe1a7e of owner "FDO": JSON with type, name, version, architecture, osCpe, debugInfoUrl.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.elf import header as elf
from parsers.elf import notes
from parsers.errors import ParseError
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from parsers.elf.module import Image

_FDO_PACKAGING_METADATA = 0xCAFE1A7E
_PHDR = struct.Struct("<IIQQQQQQ")


def package(read: Callable[[int, int], bytes | None], image: Image) -> dict[str, str]:
    """The metadata by name; empty where there is none or it is damaged. read: memory of the process."""
    head = read(image.start, 64)
    if head is None:
        return {}
    try:
        header = elf.read_header(head)
    except ParseError:
        return {}
    table = read(image.start + header.phoff, min(header.phnum, 1024) * 56)
    for index in range(len(table or b"") // 56):
        entry = elf.ProgramHeader._make(_PHDR.unpack_from(table or b"", 56 * index))
        vaddr, filesz, align = entry.vaddr, entry.filesz, entry.align
        if entry.type != elf.PT_NOTE or filesz > LIMITS.package_note:
            continue
        data = read(image.bias + vaddr, filesz)
        for note in notes.iterate(data, 0, len(data), align) if data else ():
            if note.type == _FDO_PACKAGING_METADATA and note.name == b"FDO":
                return _metadata(bytes(note.descriptor))
    return {}


def _metadata(descriptor: bytes) -> dict[str, str]:
    try:
        import json  # few modules have one

        made = json.loads(descriptor.split(b"\0", 1)[0])
    except (ValueError, RecursionError):
        return {}
    if not isinstance(made, dict):
        return {}
    return {key: value for key, value in list(made.items())[:32] if isinstance(value, str)}
