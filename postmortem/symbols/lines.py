"""Lines and inlined functions by DWARF, through a SymCache of `symbolic` that is kept on disk.

The library is imported when the first address of a module with DWARF is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from parsers.elf.header import Buffer
    from postmortem.symbols.cache import Cache

_KIND = "symcache"


class Row(NamedTuple):
    """A function at an address, by its linkage name where DWARF has it; line is None where there is none."""

    symbol: str | None
    file: str | None
    line: int | None


class Lines:
    """The DWARF of the file at `path`, whose bytes are `content`; `identity` names its module, in hexadecimal.

    first_address: of its first segment, from which the library counts.
    """

    def __init__(self, path: Path, content: Buffer, identity: str, first_address: int, cache: Cache) -> None:
        self.path = path
        self.content = content
        self._first = first_address
        self._identity = identity
        self._cache = cache
        self._symcache: Any = None
        self._opened = False
        self._kept: Any = None

    def lookup(self, address: int) -> list[Row]:
        """Functions at a link-time address, innermost inlined one first; empty when DWARF says nothing."""
        address -= self._first
        if not 0 <= address < 1 << 64:
            return []  # a pc below the module
        if not self._opened:
            self._opened = True
            self._symcache = self._open()
        if self._symcache is None:
            return []
        from symbolic.exceptions import SymbolicError

        try:
            found = self._symcache.lookup(address)
        except SymbolicError:
            return []
        return [Row(row.symbol or None, row.full_path or None, row.line or None) for row in found]

    def _open(self) -> Any:
        """The SymCache from disk, else made anew and kept; an empty file: DWARF that can't be used."""
        key = self.key()
        stored = None if key is None else self._cache.read(key, _KIND)
        if stored is not None and not len(stored):
            return None
        from symbolic._lowlevel import ffi
        from symbolic.debuginfo import Archive
        from symbolic.exceptions import SymbolicError
        from symbolic.symcache import SymCache

        if stored is not None:
            try:
                # No copy: it reads from the mapping, which must live as long.
                self._kept = ffi.from_buffer("uint8_t[]", stored)
                symcache: Any = SymCache  # the library has no annotations
                return symcache.from_bytes(self._kept)
            except SymbolicError:
                self._kept = None  # of another version of the library
        try:
            # Bytes, not the path: the library would map the file, and a page that can't be had ends the process.
            whole = bytes(self.content[:])
            made: Any = next(Archive.from_bytes(whole).iter_objects()).make_symcache()
        except (SymbolicError, OSError, StopIteration):
            made = None
        if key is not None:
            parts = [] if made is None else [made.open_stream().read()]
            self._cache.write(key, _KIND, parts)
        return made

    def remembered(self, kind: str, place: str, make: Callable[[], bytes]) -> bytes:
        """What `make` gave for a place of this file in an earlier run, else what it gives now, kept.

        kind: of the cached file. place: in hexadecimal.
        """
        key = self.key()
        if key is None:
            return make()
        stored = self._cache.read(f"{place}{key}", kind)
        if stored is not None:
            return bytes(stored)
        made = make()
        self._cache.write(f"{place}{key}", kind, [made])
        return made

    def key(self) -> str | None:
        """Key of the cache: the module and the state of its file.

        Hashing the DWARF would take as long as reading it, so the file's state stands for its content.
        """
        try:
            status = self.path.stat()
        except OSError:
            return None
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return self._identity[:40] + "".join(f"{number:x}" for number in state)
