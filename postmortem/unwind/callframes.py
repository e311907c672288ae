"""Which call frame information covers a pc: the module's own in memory, its `.debug_frame`, then Go's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.dwarf.cfi import FrameTable
from postmortem.unwind.goframes import go_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.elf.header import Buffer
    from postmortem.program.modules import LoadedModule
    from postmortem.program.program import Program
    from postmortem.unwind.goframes import GoFrames

_DEBUG_FRAME, _EH_FRAME = ".debug_frame", ".eh_frame"


class CallFrames:
    """CFI tables of the modules of one process, made when a frame first needs them."""

    def __init__(self, program: Program) -> None:
        self._modules = program.modules
        self._space = program.memory
        self._machine = program.core.machine
        self._tables: dict[int, Sequence[FrameTable | GoFrames]] = {}

    def at(self, pc: int) -> Sequence[FrameTable | GoFrames]:
        """Tables that may cover pc, best first."""
        module = self._modules.at(pc)
        if module is None:
            return []
        tables = self._tables.get(module.start)
        if tables is None:
            tables = self._tables[module.start] = self._open(module)
        return tables

    def _open(self, module: LoadedModule) -> Sequence[FrameTable | GoFrames]:
        tables: list[FrameTable] = []
        if module.image is not None and module.image.eh_frame_hdr is not None:
            address, size = module.image.eh_frame_hdr
            tables.append(FrameTable(self._space.read, header_address=address, header_size=size))
        if module.content is not None:
            tables.extend(self._from_sections(module, with_eh_frame=not tables))
        found = go_frames(module, self._machine)
        return tables if found is None else [*tables, found]

    def _from_sections(self, module: LoadedModule, *, with_eh_frame: bool) -> list[FrameTable]:
        from parsers.elf import header as elf
        from parsers.elf.sections import SHF_COMPRESSED, section_bytes
        from parsers.errors import ParseError

        content = module.content
        assert content is not None
        tables = []
        try:
            header = elf.read_header(content)
            sections = elf.read_section_headers(content, header)
        except ParseError:
            return []
        if header.shstrndx >= len(sections):
            return []
        strings = sections[header.shstrndx]
        for section in sections:
            start = strings.offset + section.name
            name = content[start : start + 16].split(b"\0", 1)[0].decode("latin-1")
            if name == _EH_FRAME and with_eh_frame:
                tables.append(
                    FrameTable(
                        self._space.read,
                        section_address=section.addr + module.bias,
                        section_size=section.size,
                    )
                )
            elif name == _DEBUG_FRAME:
                # Its records are read where they lie, but for a compressed section, of which there is only a copy.
                source: Buffer = content
                begin, size = section.offset, section.size
                if section.flags & SHF_COMPRESSED:
                    try:
                        source, begin = section_bytes(content, section), 0
                    except ParseError:
                        continue
                    size = len(source)

                # Offset 0 of the reader is the section's start.
                def read(
                    address: int, length: int, source: Buffer = source, begin: int = begin, size: int = size
                ) -> bytes | None:
                    if address < 0 or address + length > size:
                        return None
                    data = bytes(source[begin + address : begin + address + length])
                    return data if len(data) == length else None

                tables.append(
                    FrameTable(read, section_address=0, section_size=size, debug_frame=True, bias=module.bias)
                )
        return tables
