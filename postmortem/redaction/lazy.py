"""Regular expressions that are compiled when first used: most reports need few of them, and compiling takes its time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Lazy:
    """A pattern with the methods of a compiled one."""

    sub: Callable[..., str]
    search: Callable[..., re.Match[str] | None]
    fullmatch: Callable[..., re.Match[str] | None]

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._pattern = pattern
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        # Asked for what is not there yet.
        compiled = re.compile(self._pattern, self._flags)
        self.sub, self.search, self.fullmatch = compiled.sub, compiled.search, compiled.fullmatch
        return getattr(compiled, name)
