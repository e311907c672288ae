"""C++ and Rust names as people read them."""

from __future__ import annotations

import functools
import re

from parsers.limits import LIMITS

_SUFFIX = re.compile(r" \((\.[^()]*)\)$")
_REFERENCE = re.compile(r"[ST][0-9A-Z]*_")
_RUST_REFERENCE = re.compile(r"B[0-9A-Za-z]*_")
_LARGEST = 1 << 24


@functools.lru_cache(maxsize=65536)
def demangle(name: str) -> str:
    """The demangled name, or the name itself. Clone suffixes read as binutils writes them.

    A reference to an earlier part of the name repeats that part, so a hostile name of 200 bytes could ask
    for gigabytes. With n references the growth is at most 3^(n/3); a name that may exceed 16 MiB by that
    stays as it is. Of 450,000 names in large C++ libraries that concerns a few dozen.
    """
    if not name.startswith(("_Z", "_R", "__Z")):
        return name
    references = len((_RUST_REFERENCE if name.startswith("_R") else _REFERENCE).findall(name))
    if references and len(name) * 3 ** (references / 3) > _LARGEST:
        return name
    import pydemumble

    plain = pydemumble.demangle(name)
    if not plain or len(plain) > 4 * LIMITS.string:
        return name
    return _SUFFIX.sub(lambda match: f" [clone {match.group(1)}]", plain)
