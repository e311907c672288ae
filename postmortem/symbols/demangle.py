"""C++ and Rust names as people read them."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable

_SUFFIX = re.compile(r" \((\.[^()]*)\)$")
_REFERENCE = re.compile(r"[ST][0-9A-Z]*_")
_RUST_REFERENCE = re.compile(r"B[0-9A-Za-z]*_")
_RUST_HASH = re.compile(r"::h[0-9a-f]{16}$")
"""What Rust's legacy mangling puts behind a name (rustc_symbol_mangling, legacy.rs); some demanglers keep it."""
_LARGEST = LIMITS.demangle_largest


@functools.lru_cache(maxsize=65536)
def demangle(name: str) -> str:
    """The demangled name, or the name itself. Clone suffixes read as binutils writes them.

    A reference to an earlier part of the name repeats that part, so a hostile name of 200 bytes could ask
    for gigabytes. With n references the growth is at most 3^(n/3); a name that may exceed 16 MiB by that
    stays as it is. Of 450,000 names in large C++ libraries that concerns a few hundred at most.
    """
    if not name.startswith(("_Z", "_R", "__Z")):
        return name
    references = len((_RUST_REFERENCE if name.startswith("_R") else _REFERENCE).findall(name))
    if references and len(name) * 3 ** (references / 3) > _LARGEST:
        return name
    import pydemumble

    plain = pydemumble.demangle(name)
    if plain:
        plain = _SUFFIX.sub(lambda match: f" [clone {match.group(1)}]", plain)
        if "17h" in name:
            plain = _RUST_HASH.sub("", plain)
    elif name.startswith("_Z") and "sr" in name:
        # LLVM's demangler doesn't know GCC's srSt, by which it names std::swap.
        plain = _gnu_demangler()(name)
    return plain if plain and len(plain) <= 4 * LIMITS.string else name


@functools.cache
def _gnu_demangler() -> Callable[[str], str | None]:
    """abi::__cxa_demangle of libstdc++; finds nothing where there is no such library."""
    import ctypes

    try:
        function = ctypes.CDLL("libstdc++.so.6").__cxa_demangle
        free = ctypes.CDLL(None).free
    except (OSError, AttributeError):
        return lambda name: None
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
    free.restype = None
    free.argtypes = [ctypes.c_void_p]

    def demangled(name: str) -> str | None:
        status = ctypes.c_int()
        result = function(name.encode("utf-8", "replace"), None, None, ctypes.byref(status))
        if not result:
            return None
        try:
            plain = ctypes.string_at(result).decode("utf-8", "replace")
        finally:
            free(result)
        while "> >" in plain:
            plain = plain.replace("> >", ">>")
        return plain

    return demangled
