"""The identity of a file's content: a hash of its size, its first and last 64 KiB, and 32 samples of 4 KiB between.

It stays the same when a file is moved, copied or made sparse, and takes milliseconds for 100 GB.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_EDGE = 1 << 16
_SAMPLES = 32
_SAMPLE = 1 << 12


def identity(read: Callable[[int, int], bytes], size: int) -> str:
    """read: (offset, length) → bytes. Raises what `read` raises."""
    digest = hashlib.sha256(size.to_bytes(8, "little"))
    offsets = [(0, _EDGE), (max(size - _EDGE, 0), _EDGE)]
    if size > 2 * _EDGE:
        step = (size - 2 * _EDGE) // _SAMPLES
        offsets += [(_EDGE + index * step, _SAMPLE) for index in range(_SAMPLES)]
    for offset, length in offsets:
        digest.update(read(offset, length))
    return digest.hexdigest()[:40]
