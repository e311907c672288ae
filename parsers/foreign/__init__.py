"""Files that are neither a Linux core nor a HotSpot log: what each is, and what to give instead.

identify(data) -> Foreign | None        from magic numbers, ELF headers and notes, or the first lines of a text
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.foreign import magic

if TYPE_CHECKING:
    from parsers.elf.header import Buffer
    from parsers.foreign.kind import Foreign

__all__ = ["identify"]

_ELF = b"\x7fELF"


def identify(data: Buffer) -> Foreign | None:
    """The kind of a file that is not for this program, None for one that may be. Looks at the first 64 KiB."""
    if bytes(data[:4]) == _ELF:
        return None
    from parsers.foreign import text  # many patterns, which no core has need of

    return magic.identify(data) or text.identify(bytes(data[: text.SNIFF]))
