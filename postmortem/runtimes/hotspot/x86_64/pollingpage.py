"""The page that compiled code of JDK 8 and 9 reads to find out whether the VM has asked threads to stop.

A poll is test dword ptr [rip + …], eax of the polling page's first byte (cpu/x86/{nativeInst,x86_64.ad}). While a
safepoint is begun or held the page can't be read (SafepointSynchronize::begin, os::make_polling_page_unreadable). For a
libjvm without symbols; later versions poll a word of the thread.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_POLL = re.compile(rb"\x85\x05(....)", re.DOTALL)
_PAGE = 4096


def page(methods: Iterable[tuple[bytes, int]]) -> int | None:
    """The page that the first two of these methods poll which poll any; None where they do not tell.

    methods: code, and where it begins.
    """
    found: int | None = None
    for code, start in methods:
        targets = set()
        for match in _POLL.finditer(code):
            target = start + match.end() + int.from_bytes(match[1], "little", signed=True)
            if target % _PAGE == 0 and not start <= target < start + len(code):
                targets.add(target)
        if len(targets) != 1:
            continue
        target = targets.pop()
        if found is not None:
            return target if target == found else None
        found = target
    return None
