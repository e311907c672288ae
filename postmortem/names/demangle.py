"""C++ and Rust names as people read them."""

from __future__ import annotations

import functools
import re

_SUFFIX = re.compile(r" \((\.[^()]*)\)$")


@functools.lru_cache(maxsize=65536)
def demangle(name: str) -> str:
    """The demangled name, or the name itself. Clone suffixes read as binutils writes them."""
    if not name.startswith(("_Z", "_R", "__Z")):
        return name
    import pydemumble

    plain = pydemumble.demangle(name)
    if not plain:
        return name
    return _SUFFIX.sub(lambda match: f" [clone {match.group(1)}]", plain)
