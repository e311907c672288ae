"""The dead process as one core has it."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from parsers.elf.notes import AT_RANDOM
from postmortem.budget import Budget
from postmortem.program.memory import AddressSpace, Piece
from postmortem.program.modules import ModuleMap, load_modules

if TYPE_CHECKING:
    from types import TracebackType

    from parsers.elf.core import Core
    from parsers.filebytes import FileBytes
    from postmortem.targets.files import SearchPath

_PF_X, _PF_R = 1, 4


class Program:
    """A core, the memory that it and the files of its modules hold, and the modules; closes the files that it opened.

    core: as parsed. content: the bytes of the core. search: where files of the dead process may come from.
    memory: the core's pages over those of the files. modules: by address. budget: what the run may still take.
    """

    def __init__(self, core: Core, content: FileBytes, search: SearchPath, *, modules: bool = True) -> None:
        """modules: False leaves them out."""
        self.core = core
        self.content = content
        self.search = search
        self.budget = Budget()
        for kind, count in core.left_out.items():
            self.budget.miss(kind, count)
        pieces = (
            Piece(segment.start, segment.start + segment.dumped, content, segment.offset)
            for segment in core.segments
            if segment.dumped
        )
        self.memory = AddressSpace(pieces, self.budget)
        self.modules = load_modules(core, self.memory, search) if modules else ModuleMap(())
        self._starts = [segment.start for segment in core.segments]

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for module in self.modules.modules:
            if module.content is not None:
                module.content.close()

    def is_refused(self, address: int) -> bool:
        """Whether the core says of an address that the process could not read it. The kernel's cores do, those of gdb's
        gcore mark all memory as readable."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self.core.segments[index].end:
            return False
        return not self.core.segments[index].flags & _PF_R

    @property
    def pointer_guard(self) -> int:
        """What glibc mangles stored code addresses with: the second of the random words that the kernel gives; 0 where
        they are not in the core (sysdeps/unix/sysv/linux/dl-osinfo.h, _dl_setup_pointer_guard)."""
        return self.memory.word(self.core.auxv.get(AT_RANDOM, 0) + 8) or 0

    def is_code(self, address: int) -> bool:
        """Whether an address lies in executable memory, by the core's segments, or by a module's where it has none.

        gdb's gcore writes no segment for file mappings that were never written; a cut core has lost some.
        """
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self.core.segments[index].end:
            return bool(self.core.segments[index].flags & _PF_X)
        module = self.modules.at(address)
        if module is None or module.image is None:
            return False
        offset = address - module.bias
        return any(load.flags & _PF_X and load.vaddr <= offset < load.vaddr + load.memsz for load in module.image.loads)
