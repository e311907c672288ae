"""Where a condition variable begins: a thread waits on a futex word within it, and not all on the same one.

Layouts of glibc's pthread_cond_t (struct __pthread_cond_s, sysdeps/nptl/bits/thread-shared-types.h, nptl/
pthread_cond_wait.c). 2.25 to 2.40: u64 wseq, u64 g1_start, u32 g_refs[2], u32 g_size[2], u32 g1_orig_size, u32 wrefs,
u32 g_signals[2]; since 2.41 without g_refs. Waiters are in two groups, each of which waits on its word of g_signals;
wrefs counts them from bit 3 on, wseq and g1_start count positions from bit 1 on, g_refs from bit 1 on. Before 2.25:
i32 lock, u32 futex, u64 total_seq, u64 wakeup_seq, u64 woken_seq, mutex, u32 nwaiters (from bit 1 on), u32
broadcast_seq; all wait on futex. musl's waiters each wait on a word of their own stack, which tells of no variable.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.program.memory import AddressSpace

_WAITING = re.compile(r".*\b_*(?:pthread_cond|cnd)_(?:timed|clock)?wait.*")
_TWO_GROUPS, _WITHOUT_REFS = (2, 25), (2, 41)


def version(space: AddressSpace, symbol: int | None) -> tuple[int, int] | None:
    """(2, 36): of the thread library, whose text is at `symbol`."""
    text = space.cstring(symbol, 32) if symbol else None
    match = re.match(rb"(\d{1,3})\.(\d{1,3})", text) if text else None
    return (int(match[1]), int(match[2])) if match else None


def start(
    space: AddressSpace,
    futex: int,
    functions: Sequence[str],
    threads: int,
    version: Callable[[], tuple[int, int] | None],
) -> int | None:
    """The address of the condition variable that a thread waits for; None where it is not known.

    functions: names of its innermost frames. threads: of the process.
    """
    if not any(_WAITING.fullmatch(name) for name in functions):
        return None  # It wakes or destroys one, and waits for a word of another meaning.
    found = version()
    layouts = {
        "before 2.25": _of_one_word(space, futex, threads),
        "2.25": _with_refs(space, futex),
        "2.41": _without_refs(space, futex),
    }
    if found is not None:
        return layouts["before 2.25" if found < _TWO_GROUPS else "2.25" if found < _WITHOUT_REFS else "2.41"]
    plausible = [address for address in layouts.values() if address is not None]
    return plausible[0] if len(plausible) == 1 else None


def _with_refs(space: AddressSpace, futex: int) -> int | None:
    address = (futex & ~7) - 40
    data = space.read(address, 48)
    if data is None:
        return None
    sequence, first, *rest = struct.unpack("<QQ8I", data)
    refs, waiters = rest[:2], rest[5] >> 3
    return address if _plausible(sequence, first, waiters) and 1 <= refs[futex >> 2 & 1] >> 1 <= waiters else None


def _without_refs(space: AddressSpace, futex: int) -> int | None:
    address = (futex & ~7) - 32
    data = space.read(address, 40)
    if data is None:
        return None
    sequence, first, *rest = struct.unpack("<QQ6I", data)
    return address if _plausible(sequence, first, rest[3] >> 3) else None


def _plausible(sequence: int, first: int, waiters: int) -> bool:
    """Every waiter has taken a position, and none comes before the older group."""
    return sequence < 1 << 48 and first >> 1 <= sequence >> 1 and 1 <= waiters <= sequence >> 1


def _of_one_word(space: AddressSpace, futex: int, threads: int) -> int | None:
    address = futex - 4
    data = space.read(address, 48) if address % 8 == 0 else None
    if data is None:
        return None
    lock, _, total, wakeups, woken, _, waiters, _ = struct.unpack("<iIQQQQII", data)
    counted = woken <= wakeups < total < 1 << 48
    return address if counted and 0 <= lock <= 2 and 1 <= waiters >> 1 <= max(threads, 1) else None
