"""What a thread was blocked in: its system call, and for a futex the lock around it.

Layouts: glibc struct __pthread_mutex_s (lock, count, owner, nusers, kind: five ints) and struct
__pthread_rwlock_arch_t (readers, writers, wrphase_futex, writers_futex, two pads, cur_writer), x86-64
sysdeps/x86/nptl/bits/struct_{mutex,rwlock}.h. A thread is in a system call when orig_rax is a call
number and pc follows a syscall instruction.
pthread_join() waits for a word of the other thread's descriptor, which lies at its thread pointer. glibc's struct
pthread (nptl/descr.h) has `tid` there, or since 2.43 `joinstate` (1 exiting, 2 joinable), which the kernel clears when
the thread ends, so that the wait is a shared one; all other futexes of it are private. This tells a join also where
libc has no names. musl's struct pthread has detach_state (src/internal/pthread_impl.h).
"""

from __future__ import annotations

import bisect
import functools
import struct
from typing import TYPE_CHECKING

from postmortem.model import Address, Wait
from postmortem.runtimes.native import condvars

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from postmortem.machines.machine import Machine
    from postmortem.model import Frame
    from postmortem.program.memory import AddressSpace
    from postmortem.symbols.symbolication import Symbolication
    from postmortem.unwind.threads import ThreadWalk

FUTEX, FUTEX_WAITV = 202, 449
_PRIVATE = 0x80
_DESCRIPTOR, _TID = range(0x900), 0x2D0
"""glibc's struct pthread, and its tid: behind the TCB of 0x2c0 bytes and the list of threads. musl's is smaller."""
_STATES = range(4)
_JOINS = (0, 9)
"""Futex operations of pthread_join: the kernel wakes the word as a shared one."""
_RUST_CONTENDED, _RUST_WRITER = 2, (1 << 30) - 1
_SHAREABLE = frozenset({"mutex", "rwlock", "condvar", "semaphore", "barrier"})
_WAITS = {0: "wait", 6: "lock-pi", 9: "wait-bitset", 11: "wait-requeue-pi", 13: "lock-pi2"}
_RUST = (
    ("mutex", ("futex::Mutex>", "futex::Mutex::", "futex_mutex::Mutex")),
    ("rwlock", ("futex::RwLock>", "futex::RwLock::", "futex_rwlock::RwLock")),
    ("condvar", ("futex::Condvar>", "futex::Condvar::", "futex_condvar::Condvar")),
    ("park", ("thread_parking::futex::Parker", "thread_parker::futex::Parker", "futex::Parker>::park")),
)
"""Those of Rust's standard library, which are no pthread ones; their memory names no owner."""
_LONG_NAMES = (
    (
        "mutex",
        (
            "pthread_mutex_lock",
            "pthread_mutex_timedlock",
            "pthread_mutex_clocklock",
            "lll_lock_wait",
            "lll_mutex_lock",
        ),
    ),
    ("rwlock", ("rwlock_rdlock", "rwlock_wrlock", "rwlock_timed", "rwlock_clock")),
    ("condvar", ("pthread_cond_", "cnd_wait", "cnd_timedwait")),
    ("semaphore", ("sem_wait", "sem_timedwait", "sem_clockwait", "new_sem_wait")),
    ("join", ("pthread_join", "pthread_timedjoin", "pthread_clockjoin", "thrd_join")),
    ("barrier", ("pthread_barrier_wait",)),
    ("future", ("std::__atomic_futex_unsigned", "std::__future_base::")),
)


class Threads(dict[int, int]):
    """The threads of a core, with the thread pointer of each."""

    @functools.cached_property
    def _ordered(self) -> list[tuple[int, int]]:
        return sorted((pointer, tid) for tid, pointer in self.items() if pointer)

    def described(self, address: int) -> int | None:
        """The thread in whose descriptor an address lies."""
        at = bisect.bisect_right(self._ordered, (address, 1 << 64)) - 1
        pointer, tid = self._ordered[at] if at >= 0 else (0, 0)
        return tid if pointer and address - pointer in _DESCRIPTOR else None


def waits(
    space: AddressSpace,
    walks: Sequence[ThreadWalk],
    named: Sequence[list[list[Frame]]],
    machine: Machine,
    symbols: Symbolication | None = None,
) -> list[Wait | None]:
    """For each thread what it was blocked in, or None when it was running. named: its frames by activation."""
    tids = Threads((walked.status.tid, walked.status.registers.get(machine.thread_pointer, 0)) for walked in walks)

    @functools.cache
    def version() -> tuple[int, int] | None:
        return None if symbols is None else condvars.version(space, symbols.system_symbol("__nptl_version"))

    return [
        wait(space, walked.status.registers, _innermost(frames), tids, machine, version)
        for walked, frames in zip(walks, named, strict=True)
    ]


def _innermost(frames: list[list[Frame]]) -> list[str]:
    """Names of the first frames of a thread: what it was waiting in."""
    return [frame.function or "" for activation in frames[:6] for frame in activation]


def wait(
    space: AddressSpace,
    registers: dict[str, int],
    functions: Sequence[str],
    tids: Threads,
    machine: Machine,
    version: Callable[[], tuple[int, int] | None] = lambda: None,
) -> Wait | None:
    """The wait of a thread, or None when it was running. functions: names of its innermost frames. version: glibc's.

    Long: one case for each kind of lock.
    """
    number = registers.get(machine.system_call, 0)
    if number >= 1 << 32:
        return None
    call = machine.system_call_instruction
    before = space.read(registers.get(machine.pc_name, 0) - len(call), len(call))
    if before is not None and before != call:
        return None
    name = machine.system_call_names.get(number, f"system call {number}")
    if name != "futex" or registers.get(machine.call_arguments[1], 0) & 0x7F not in _WAITS:
        return Wait(syscall=name, kind="syscall")
    address: int | None = registers.get(machine.call_arguments[0], 0)
    kind = _kind(functions)
    rust = kind.startswith("rust ")
    kind = kind.removeprefix("rust ")
    held: bool | None = None
    owner: int | None = None
    writing: bool | None = None
    readers: int | None = None
    shared = not registers.get(machine.call_arguments[1], 0) & _PRIVATE
    assert address is not None
    if rust:
        address, held, readers = _rust_lock(space, kind, address, functions)
        writing = _writes(functions) if kind == "rwlock" else None
    elif kind == "mutex":
        owner = _mutex_owner(space, address, tids)
        if owner is None and any("lll_lock_wait" in function for function in functions):
            kind = "mutex" if _is_mutex(space, address) else "futex"
    elif kind == "rwlock":
        address, owner = _rwlock(space, address, tids)
        readers = _readers(space, address)
        writing = _writes(functions)
    elif kind == "join":
        owner = _joined(space, address, tids)
    elif kind == "condvar":
        address = condvars.start(space, address, functions, len(tids), version)
    elif kind == "barrier":
        address = _barrier(space, address)
    elif kind == "futex" and _is_join(space, registers, tids, machine):
        kind, owner = "join", _joined(space, address, tids)
    elif kind == "futex" and _is_mutex(space, address):
        found = _mutex_owner(space, address, tids)
        if found is not None and found in tids:
            kind, owner = "mutex", found
    return Wait(
        syscall=name,
        kind=kind,
        address=None if address is None else Address(address),
        owner=owner or None,
        owner_in_core=(owner in tids) if owner else None,
        shared=shared if kind in _SHAREABLE else None,
        timed=_timed(space, registers.get(machine.call_arguments[3], 0)),
        writing=writing,
        readers=readers,
        held=held,
        settled=_settled(space, registers, machine),
    )


def _is_join(space: AddressSpace, registers: dict[str, int], tids: Threads, machine: Machine) -> bool:
    """Whether a thread without names waits as pthread_join() of glibc does."""
    address, operation, value = (registers.get(name, 0) for name in machine.call_arguments[:3])
    tid = tids.described(address)
    return (
        tid is not None
        and operation & (0x7F | _PRIVATE) in _JOINS
        and space.signed(tids[tid] + _TID, 4) == tid
        and 0 < value == space.signed(address, 4)
    )


def _joined(space: AddressSpace, address: int, tids: Threads) -> int | None:
    """The thread that pthread_join() waits for; where it is not in the core, by the word if that can be no state."""
    word = space.signed(address, 4)
    if not word:
        return None  # it has ended
    found = tids.described(address)
    return word if found is None and word not in _STATES else found


def _settled(space: AddressSpace, registers: dict[str, int], machine: Machine) -> bool | None:
    """Whether a wait that compares the futex word would begin again as it did."""
    operation = registers.get(machine.call_arguments[1], 0) & 0x7F
    word = space.unsigned(registers.get(machine.call_arguments[0], 0), 4)
    if word is None or _WAITS.get(operation) not in ("wait", "wait-bitset", "wait-requeue-pi"):
        return None
    return word == registers.get(machine.call_arguments[2], 0) & 0xFFFFFFFF


def _rust_lock(
    space: AddressSpace, kind: str, futex: int, functions: Sequence[str]
) -> tuple[int, bool | None, int | None]:
    """(address, whether it is locked, how many read under it) of a lock of Rust's standard library.

    std::sys::sync: a Mutex is a word, 0 where it is unlocked; an RwLock {state, writer_notify}, on which writers wait:
    the lower 30 bits of state count readers, all of them set is a writer.
    """
    if kind == "mutex":
        word = space.unsigned(futex, 4)
        return futex, None if word is None or word > _RUST_CONTENDED else word != 0, None
    if kind != "rwlock":
        return futex, None, None
    lock = futex - 4 if any("write_contended" in name for name in functions) else futex
    state = space.unsigned(lock, 4)
    if state is None:
        return lock, None, None
    count = state & _RUST_WRITER
    return lock, count != 0, count if 0 < count < _RUST_WRITER else None


def _barrier(space: AddressSpace, futex: int) -> int | None:
    """glibc's pthread_barrier_t, struct pthread_barrier: in, current_round (the futex word), count, shared, out."""
    data = space.read(futex - 4, 16)
    if data is None:
        return None
    arrived, _, count, shared = struct.unpack("<4I", data)
    return futex - 4 if shared in (0, _PRIVATE) and arrived >= 1 and 1 <= count < 1 << 31 else None


def _timed(space: AddressSpace, timeout: int) -> bool:
    """Whether futex() was given a struct timespec: seconds and nanoseconds, in two longs."""
    words = space.words(timeout, 2) if timeout else None
    return words is not None and words[0] < 1 << 40 and words[1] < 1_000_000_000


def _writes(functions: Sequence[str]) -> bool | None:
    found = next((name for name in functions if "rwlock_" in name), "")
    if "wrlock" in found:
        return True
    if "rdlock" in found:
        return False
    rust = next((name for name in functions if name.endswith(("::write_contended", "::read_contended"))), "")
    return rust.endswith("write_contended") if rust else None


def _readers(space: AddressSpace, lock: int) -> int | None:
    """How many readers hold a lock; None where writers have it, and where the words can't be those of a lock."""
    data = space.read(lock, 32)
    if data is None:
        return None
    readers, writers, phase, writers_futex, _, _, writer, shared = struct.unpack("<IIIIIIiI", data)
    if readers & 1 or writer or writers >= 1 << 20 or phase > 3 or writers_futex > 3 or shared > 1:
        return None
    count = readers >> 3
    return count if 0 < count < 1 << 22 else None


def _kind(functions: Sequence[str]) -> str:
    # Threads of a pool wait in the same functions, so this is asked again and again.
    return _kind_of(tuple(functions))


@functools.lru_cache(maxsize=4096)
def _kind_of(functions: tuple[str, ...]) -> str:
    if any("futex" in function and "::" in function for function in functions):
        for kind, rust in _RUST:
            if any(name in function for function in functions for name in rust):
                return f"rust {kind}"
    for kind, names in _LONG_NAMES:
        if any(name in function for function in functions for name in names):
            return kind
    return "futex"


def _fields(space: AddressSpace, address: int) -> tuple[int, ...] | None:
    data = space.read(address, 20)
    return None if data is None else struct.unpack("<iIiIi", data)


def _is_mutex(space: AddressSpace, address: int) -> bool:
    """Whether the five words can be those of a locked pthread_mutex_t."""
    fields = _fields(space, address)
    return fields is not None and fields[4] & 0x7F in range(4) and fields[2] >= 0 and 0 <= fields[3] < 1 << 20


def _mutex_owner(space: AddressSpace, address: int, tids: Collection[int]) -> int | None:
    """The tid in __owner, when the memory is a mutex that is held."""
    fields = _fields(space, address)
    if fields is None or not _is_mutex(space, address):
        return None
    lock, _, owner, _, _ = fields
    if owner <= 0 or lock == 0:
        return None
    return owner if owner in tids or owner < 1 << 22 else None


def _rwlock(space: AddressSpace, futex: int, tids: Collection[int]) -> tuple[int, int | None]:
    """(address of the lock, its writer): the futex is the first, third or fourth word of the lock, which is aligned."""
    offsets = (12,) if futex & 4 else (8, 0)
    for offset in offsets:
        writer = space.signed(futex - offset + 24, 4)
        if writer and writer in tids:
            return futex - offset, writer
    # Readers wait for a writer at the third word, others at the fourth; its thread may have ended.
    lock = futex - offsets[0]
    return lock, _writer(space, lock)


def _writer(space: AddressSpace, lock: int) -> int | None:
    """cur_writer, where the words around it can be those of a pthread_rwlock_t that is held for writing."""
    data = space.read(lock, 32)
    if data is None:
        return None
    _, writers, phase, writers_futex, _, _, writer, shared = struct.unpack("<IIIIIIiI", data)
    plausible = writers < 1 << 20 and phase < 4 and writers_futex < 4 and shared < 2
    return writer if plausible and 0 < writer < 1 << 22 else None
