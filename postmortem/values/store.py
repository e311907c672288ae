"""Places of one module: from the symbol cache, else from its DWARF, which is opened only then."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from parsers.elf.sections import SHF_COMPRESSED, section_bytes
from parsers.elf.symbols import Sections
from parsers.errors import ParseError
from parsers.limits import LIMITS
from postmortem.values.description import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from parsers.elf.header import Buffer
    from postmortem.symbols.cache import Cache
    from postmortem.symbols.elffile import ElfFile
    from postmortem.symbols.symbolizer import DwarfFile
    from postmortem.values.deadline import Deadline
    from postmortem.values.extract import Extractor

_KIND = "values"
_VERSION = 4
"""Of what is stored; another one when the descriptions or what is read of DWARF change."""


class _Stored(msgspec.Struct, array_like=True):
    """What the cache holds for one file: places by pc, each decoded when it is asked for."""

    version: int
    places: dict[int, msgspec.Raw]


class Store:
    """Places by link-time address; what is read anew is kept when `save` is called."""

    def __init__(
        self,
        dwarf: DwarfFile,
        cache: Cache,
        deadline: Deadline,
        supplement: Callable[[DwarfFile, Sections], ElfFile | None],
        split: Callable[[str, str], Iterable[ElfFile]] = lambda name, folder: (),
    ) -> None:
        """supplement: finds the file that .gnu_debugaltlink names. split: the files that may hold a unit that was split
        off, by the name and folder of its .dwo."""
        self._dwarf = dwarf
        self._cache = cache
        self._deadline = deadline
        self._supplement = supplement
        self._split = split
        self._inflated: dict[str, bytes] = {}
        self._key = dwarf.key
        self._held: dict[int, msgspec.Raw] | None = None
        self._decoded: dict[int, Place] = {}
        self._fresh = False
        self._extractor: Extractor | None = None
        self._broken: str | None = None

    def _stored(self) -> dict[int, msgspec.Raw]:
        if self._held is None:
            self._held = {}
            data = None if self._key is None else self._cache.read(self._key, _KIND)
            if data is not None:
                try:
                    stored = msgspec.msgpack.decode(data, type=_Stored)
                except msgspec.MsgspecError:
                    stored = None  # of another version
                if stored is not None and stored.version == _VERSION:
                    self._held = stored.places
        return self._held

    def place(self, address: int, returning: int | None) -> Place:
        """What is known at a link-time address; returning: the return address, for a frame that made a call.

        Raises Expired when it would have to be read and the time is up.
        """
        number = address << 1 | (returning is not None)
        known = self._decoded.get(number)
        if known is not None:
            return known
        raw = self._stored().get(number)
        place = None
        if raw is not None:
            try:
                place = msgspec.msgpack.decode(raw, type=Place)
            except msgspec.MsgspecError:
                place = None
        if place is None:
            place = self._read(address, returning)
            if self._broken is None and not place.passing:
                self._stored()[number] = msgspec.Raw(msgspec.msgpack.encode(place))
                self._fresh = True
        self._decoded[number] = place
        return place

    def _read(self, address: int, returning: int | None) -> Place:
        from postmortem.symbols.damage import DAMAGE

        if self._broken is not None:
            return Place(missing=self._broken)
        self._deadline.check()
        try:
            if self._extractor is None:
                self._extractor = self._open()
            return self._extractor.place(address, returning)
        except DAMAGE as damage:
            if self._extractor is None:
                self._broken = f"its debug info can't be read: {damage}"[:200]
                return Place(missing=self._broken)
            return Place(missing=f"damaged debug info: {damage}"[:200])

    def _open(self) -> Extractor:
        from postmortem.values.extract import Extractor
        from postmortem.values.units import Units

        dwarf = self._dwarf
        sections = Sections(dwarf.content)
        supplement = None
        other = self._supplement(dwarf, sections)
        if other is not None:
            supplement = Units(partial(_section, other.sections, other.content), self._deadline)
        units = Units(lambda name: self._section(sections, name), self._deadline, supplement)
        return Extractor(units, self._deadline, self._split)

    def _section(self, sections: Sections, name: str) -> bytes | None:
        """A section of the file, as a run that had no time to use it kept it, else from the file."""
        header = sections.find(f".debug_{name}".encode())
        packed = header is not None and header.flags & SHF_COMPRESSED
        kept = self._cache.read(self._key, f"debug_{name}") if packed and self._key is not None else None
        if kept is not None:
            return bytes(kept)
        data = _section(sections, self._dwarf.content, name)
        if packed and data is not None and len(data) > LIMITS.section_kept:
            self._inflated[name] = data
        self._deadline.check()
        return data

    def save(self) -> None:
        """Keep what was read, the latest of it where it is much; what was decompressed, where nothing came of it."""
        if not self._fresh and self._key is not None:
            for name, data in self._inflated.items():
                self._cache.write(self._key, f"debug_{name}", [data])
        if not self._fresh or self._key is None or self._held is None:
            return
        kept: dict[int, msgspec.Raw] = {}
        size = 0
        for number, raw in reversed(self._held.items()):
            size += len(memoryview(raw))
            if size > LIMITS.values_cached or len(kept) >= LIMITS.places_cached:
                break
            kept[number] = raw
        data = msgspec.msgpack.encode(_Stored(_VERSION, dict(reversed(kept.items()))))
        self._cache.write(self._key, _KIND, [data])


def _section(sections: Sections, content: Buffer, name: str) -> bytes | None:
    header = sections.find(f".debug_{name}".encode())
    if header is None:
        return None
    if header.size > LIMITS.debug_section_bytes:
        raise ParseError(f".debug_{name}", header.offset, f"has {header.size} bytes")
    return section_bytes(content, header, LIMITS.debug_section_bytes)
