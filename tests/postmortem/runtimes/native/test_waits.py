"""What a thread was blocked in, by its registers and the words of the lock; layouts of glibc made by hand."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from postmortem.machines.x86_64.machine import MACHINE
from postmortem.model import Frame
from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.native import waits

if TYPE_CHECKING:
    from postmortem.model import Wait
    from postmortem.unwind.threads import ThreadWalk

CODE, LOCK, THREAD = 0x401000, 0x601000, 0x701000
TIDS = waits.Threads({100: 0, 101: THREAD})
"""With the thread pointer of each."""
FUTEX = 202


def _space(lock: bytes = b"", code: bytes = b"\x0f\x05\xc3") -> AddressSpace:
    pieces = [Piece(CODE, CODE + len(code), code, 0)] if code else []
    if lock:
        pieces.append(Piece(LOCK, LOCK + len(lock), lock, 0))
    return AddressSpace(pieces)


def _registers(number: int = FUTEX, operation: int = 0x80, address: int = LOCK, pc: int = CODE + 2) -> dict[str, int]:
    return {"orig_rax": number, "rip": pc, "rdi": address, "rsi": operation}


def _wait(space: AddressSpace, functions: tuple[str, ...] = (), **registers: int) -> Wait | None:
    return waits.wait(space, _registers(**registers), functions, TIDS, MACHINE)


def mutex(lock: int = 2, owner: int = 100, users: int = 1, kind: int = 0) -> bytes:
    """struct __pthread_mutex_s: lock, count, owner, nusers, kind, spins, list."""
    return struct.pack("<iIiIiiQQ", lock, 3, owner, users, kind, 0, 0, 0)


def rwlock(writer: int, shared: int = 0, writers: int = 0, phase: int = 2) -> bytes:
    """struct __pthread_rwlock_arch_t: readers, writers, wrphase_futex, writers_futex, two pads, cur_writer, shared."""
    return struct.pack("<IIIIIIii", 3, writers, phase, 1, 0, 0, writer, shared).ljust(56, b"\0")


@pytest.mark.parametrize(
    ("number", "pc"),
    [
        (0xFFFFFFFFFFFFFFFF, CODE + 2),  # -1: not in a system call
        (FUTEX, CODE + 4),  # pc does not follow a syscall instruction
    ],
)
def test_a_thread_that_ran_waited_for_nothing(number: int, pc: int) -> None:
    space = _space(code=b"\x0f\x05\x90\x90")
    assert _wait(space, number=number, pc=pc) is None


def test_code_that_is_not_at_hand_is_believed() -> None:
    found = _wait(_space(code=b""), number=0)
    assert found is not None
    assert (found.syscall, found.kind, found.address) == ("read", "syscall", None)


@pytest.mark.parametrize(
    ("number", "operation", "name"),
    [
        (0, 0, "read"),
        (232, 0, "epoll_wait"),
        (9999, 0, "system call 9999"),
        (FUTEX, 1, "futex"),
        (FUTEX, 0x81, "futex"),
    ],
)
def test_what_waits_for_no_lock(number: int, operation: int, name: str) -> None:
    """Futex operation 1 wakes."""
    found = _wait(_space(mutex()), number=number, operation=operation)
    assert found is not None
    assert (found.syscall, found.kind, found.address, found.owner) == (name, "syscall", None, None)


@pytest.mark.parametrize("operation", [0, 0x80, 0x180 | 9, 6, 0x86, 11, 13])
def test_every_futex_operation_that_waits(operation: int) -> None:
    found = _wait(_space(mutex()), ("__GI___pthread_mutex_lock",), operation=operation)
    assert found is not None
    assert (found.kind, found.address, found.owner, found.owner_in_core) == ("mutex", LOCK, 100, True)


@pytest.mark.parametrize(
    ("lock", "owner", "in_core"),
    [
        (mutex(owner=100), 100, True),
        (mutex(owner=999), 999, False),  # its thread has ended
        (mutex(lock=0), None, None),  # free
        (mutex(owner=0), None, None),
        (mutex(owner=-5), None, None),
        (mutex(owner=1 << 22), None, None),  # no tid is so large
        (mutex(kind=77), None, None),
        (mutex(users=1 << 20), None, None),
        (mutex(owner=-5, users=0), None, None),
        (mutex()[:16], None, None),  # cut
    ],
)
def test_the_owner_of_a_mutex(lock: bytes, owner: int | None, in_core: bool | None) -> None:
    found = _wait(_space(lock), ("futex_wait", "__GI___pthread_mutex_lock"))
    assert found is not None
    assert (found.kind, found.owner, found.owner_in_core) == ("mutex", owner, in_core)


@pytest.mark.parametrize(
    ("lock", "kind"), [(mutex(owner=0), "mutex"), (mutex(kind=77), "futex"), (b"\1\0\0\0", "futex")]
)
def test_a_low_level_lock_need_not_be_a_mutex(lock: bytes, kind: str) -> None:
    found = _wait(_space(lock), ("__lll_lock_wait_private",))
    assert found is not None
    assert (found.kind, found.owner) == (kind, None)


@pytest.mark.parametrize("at", [8, 12, 0])
def test_a_reader_writer_lock_by_whichever_word_is_waited_for(at: int) -> None:
    found = _wait(_space(rwlock(101)), ("__GI___pthread_rwlock_wrlock",), address=LOCK + at)
    assert found is not None
    assert (found.kind, found.address, found.owner, found.owner_in_core) == ("rwlock", LOCK, 101, True)


@pytest.mark.parametrize(
    ("lock", "owner"),
    [
        (rwlock(999), 999),
        (rwlock(0), None),
        (rwlock(999, shared=5), None),
        (rwlock(0, shared=1), None),  # readers hold one that processes share
        (rwlock(999, writers=1 << 20), None),
        (rwlock(999, phase=9), None),
        (rwlock(1 << 22), None),
    ],
)
@pytest.mark.parametrize("at", [8, 12])
def test_the_writer_whose_thread_is_not_in_the_core(lock: bytes, owner: int | None, at: int) -> None:
    found = _wait(_space(lock), ("__pthread_rwlock_rdlock",), address=LOCK + at)
    assert found is not None
    assert (found.address, found.owner, found.owner_in_core) == (LOCK, owner, False if owner else None)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("__new_sem_wait_slow64", "semaphore"),
        ("std::__atomic_futex_unsigned_base::_M_futex_wait_until(unsigned int*)", "future"),
        ("std::thread::park", "futex"),
    ],
)
def test_what_has_no_owner(function: str, kind: str) -> None:
    found = _wait(_space(b"\1\0\0\0"), ("futex_wait", function))
    assert found is not None
    assert (found.kind, found.address, found.owner, found.owner_in_core) == (kind, LOCK, None, None)


def condvar(groups: tuple[int, int], sequence: int = 8, first: int = 0, waiters: int = 3) -> bytes:
    """struct __pthread_cond_s, 2.25: wseq, g1_start, g_refs[2], g_size[2], g1_orig_size, wrefs, g_signals[2]."""
    refs = [count << 1 for count in groups]
    return struct.pack("<QQ10I", sequence, first, *refs, 0, 0, 0, waiters << 3, 0, 0, 0, 0)


def condvar_241(sequence: int = 8, first: int = 0, waiters: int = 3) -> bytes:
    """As above without g_refs."""
    return struct.pack("<QQ8I", sequence, first, 0, 0, 0, waiters << 3, 0, 0, 0, 0)


def condvar_217(total: int = 5, woken: int = 3, waiters: int = 2, lock: int = 0) -> bytes:
    """glibc 2.17: lock, futex, total_seq, wakeup_seq, woken_seq, mutex, nwaiters, broadcast_seq."""
    return struct.pack("<iIQQQQII", lock, 8, total, woken, woken, 0x601800, waiters << 1, 0)


WAITS = ("futex_wait", "__pthread_cond_wait_common", "pthread_cond_wait@@GLIBC_2.3.2")


@pytest.mark.parametrize(
    ("memory", "at", "version", "found"),
    [
        (condvar((1, 2)), 40, (2, 36), LOCK),
        (condvar((1, 2)), 44, (2, 36), LOCK),  # the other group's word
        (condvar((1, 2)), 44, None, LOCK),
        (condvar((1, 0)), 44, (2, 36), None),  # nobody is in that group
        (condvar((1, 2), waiters=0), 40, (2, 36), None),
        (condvar((1, 2), sequence=2, first=9), 40, (2, 36), None),
        (condvar((1, 2)), 40, (2, 41), None),
        (condvar_241(), 32, (2, 41), LOCK),
        (condvar_241(), 36, (2, 42), LOCK),
        (condvar_241(waiters=9), 36, (2, 42), None),  # more than ever came
        (condvar_217(), 4, (2, 17), LOCK),
        (condvar_217(), 4, None, LOCK),
        (condvar_217(total=3), 4, (2, 17), None),
        (condvar_217(waiters=9), 4, (2, 17), None),
        (b"\0" * 64, 44, None, None),  # musl waits for a word of the waiter's own
        (b"", 44, (2, 36), None),
    ],
)
def test_a_condition_variable_by_either_of_its_words(
    memory: bytes, at: int, version: tuple[int, int] | None, found: int | None
) -> None:
    wait = waits.wait(_space(memory), _registers(address=LOCK + at), WAITS, TIDS, MACHINE, lambda: version)
    assert wait is not None
    assert (wait.kind, wait.address, wait.shared) == ("condvar", found, False)


@pytest.mark.parametrize(
    ("limit", "timed"),
    [((5, 999_999_999), True), ((0, 0), True), ((5, 1_000_000_000), False), ((1 << 62, 0), False), (None, False)],
)
def test_a_wait_with_a_time_limit(limit: tuple[int, int] | None, timed: bool) -> None:
    space = _space(mutex() + (struct.pack("<qq", *limit) if limit else b""))
    registers = _registers() | {"r10": LOCK + len(mutex())}
    found = waits.wait(space, registers, ("__pthread_mutex_clocklock",), TIDS, MACHINE)
    forever = waits.wait(space, _registers() | {"r10": 0}, ("__pthread_mutex_lock",), TIDS, MACHINE)
    assert found is not None and forever is not None
    assert (found.timed, forever.timed) == (timed, False)


def test_who_wakes_a_condition_variable_waits_for_another_of_its_words() -> None:
    found = _wait(_space(condvar((1, 2))), ("futex_wait", "__pthread_cond_signal"), address=LOCK + 40)
    assert found is not None
    assert (found.kind, found.address) == ("condvar", None)


@pytest.mark.parametrize(("words", "found"), [((2, 0, 3, 0), LOCK), ((2, 0, 3, 5), None), ((0, 0, 3, 0), None)])
def test_a_barrier_by_its_second_word(words: tuple[int, ...], found: int | None) -> None:
    wait = _wait(_space(struct.pack("<4I", *words)), ("pthread_barrier_wait",), address=LOCK + 4)
    assert wait is not None
    assert (wait.kind, wait.address) == ("barrier", found)


@pytest.mark.parametrize(("operation", "shared"), [(0x80, False), (0, True)])
def test_a_lock_that_processes_share(operation: int, shared: bool) -> None:
    wait = _wait(_space(mutex()), ("__pthread_mutex_lock",), operation=operation)
    join = _wait(_space(mutex()), ("__pthread_clockjoin_ex",), operation=operation)
    assert wait is not None and join is not None
    assert (wait.shared, join.shared) == (shared, None)


@pytest.mark.parametrize(
    ("readers", "held"), [(2 << 3, 2), ((2 << 3) | 2, 2), ((2 << 3) | 1, None), (0, None), (1 << 31, None)]
)
def test_how_many_readers_hold_a_lock(readers: int, held: int | None) -> None:
    memory = struct.pack("<IIIIIIii", readers, 2, 2, 1, 0, 0, 0, 0).ljust(56, b"\0")
    wait = _wait(_space(memory), ("__pthread_rwlock_wrlock_full64",), address=LOCK + 8)
    assert wait is not None
    assert (wait.address, wait.writing, wait.readers) == (LOCK, True, held)


@pytest.mark.parametrize(("word", "owner", "in_core"), [(101, 101, True), (555, 555, False), (0, None, None)])
def test_a_join_waits_for_the_word_that_holds_the_tid(word: int, owner: int | None, in_core: bool | None) -> None:
    found = _wait(_space(struct.pack("<i", word)), ("__pthread_clockjoin_ex",))
    assert found is not None
    assert (found.kind, found.owner, found.owner_in_core) == ("join", owner, in_core)


@pytest.mark.parametrize(
    ("lock", "kind", "owner"),
    [(mutex(owner=101), "mutex", 101), (mutex(owner=999), "futex", None), (mutex(owner=101, kind=88), "futex", None)],
)
def test_without_names_a_mutex_is_one_that_a_thread_of_the_core_holds(
    lock: bytes, kind: str, owner: int | None
) -> None:
    found = _wait(_space(lock), ("", ""))
    assert found is not None
    assert (found.kind, found.owner) == (kind, owner)


def _space_of(memory: bytes, at: int = THREAD) -> AddressSpace:
    return AddressSpace([Piece(CODE, CODE + 3, b"\x0f\x05\xc3", 0), Piece(at, at + len(memory), memory, 0)])


def descriptor(tid: int = 101, at: int = 0x2D0, word: int = 101) -> bytes:
    """glibc's struct pthread with its tid and, at `at`, the word that a join waits for."""
    made = bytearray(0x900)
    struct.pack_into("<i", made, 0x2D0, tid)
    struct.pack_into("<i", made, at, word)
    return bytes(made)


@pytest.mark.parametrize("functions", [("", ""), ("__pthread_clockjoin_ex", "work")])
@pytest.mark.parametrize(("at", "word"), [(0x2D0, 101), (0x628, 2), (0x628, 1)])
@pytest.mark.parametrize("operation", [0, 0x109])
def test_a_join_waits_for_a_word_of_the_other_s_descriptor(
    functions: tuple[str, ...], at: int, word: int, operation: int
) -> None:
    """Of its tid, or since glibc 2.43 of its joinstate; for a time, by the real-time clock; with names and without."""
    space = _space_of(descriptor(at=at, word=word))
    found = waits.wait(
        space, _registers(operation=operation, address=THREAD + at) | {"rdx": word}, functions, TIDS, MACHINE
    )
    assert found is not None
    assert (found.kind, found.owner, found.owner_in_core) == ("join", 101, True)


@pytest.mark.parametrize(
    ("made", "changes"),
    [
        (descriptor(), {"rsi": 0x80}),  # private: the kernel wakes no such waiter when the thread ends
        (descriptor(), {"rsi": 6}),  # lock-pi: the word is a lock
        (descriptor(), {"rdx": 2}),  # another value: it has ended
        (descriptor(word=0), {"rdx": 0}),
        (descriptor(tid=100, at=0x628, word=2), {"rdi": THREAD + 0x628, "rdx": 2}),  # no descriptor of glibc's
        (descriptor(tid=0, at=0x628, word=2), {"rdi": THREAD + 0x628, "rdx": 2}),
        (descriptor() + descriptor(), {"rdi": THREAD + 0x900 + 0x2D0}),  # beyond it
    ],
)
def test_without_names_what_waits_otherwise_is_no_join(made: bytes, changes: dict[str, int]) -> None:
    registers = _registers(operation=0, address=THREAD + 0x2D0) | {"rdx": 101} | changes
    found = waits.wait(_space_of(made), registers, ("", ""), TIDS, MACHINE)
    assert found is not None
    assert (found.kind, found.owner) == ("futex", None)


@pytest.mark.parametrize(("at", "word", "owner"), [(0x38, 2, 101), (-64, 77, 77), (-64, 2, None)])
def test_whom_a_join_with_a_name_waits_for(at: int, word: int, owner: int | None) -> None:
    """musl's waits for a state; a thread that is not in the core is known by glibc's word before 2.43."""
    space = _space_of(struct.pack("<i", word), THREAD + at)
    found = waits.wait(space, _registers(address=THREAD + at), ("pthread_join",), TIDS, MACHINE)
    assert found is not None
    assert (found.kind, found.owner) == ("join", owner)


def test_all_threads_with_their_innermost_six_activations() -> None:
    def walked(tid: int, number: int) -> ThreadWalk:
        status = SimpleNamespace(tid=tid, registers=_registers(number))
        return cast("ThreadWalk", SimpleNamespace(status=status))

    frames = [[Frame(pc=None, sp=None, function=name)] for name in ("futex_wait", "x", "x", "x", "x", "pthread_join")]
    deeper = [frames[1], *frames]
    found = waits.waits(
        _space(struct.pack("<i", 101)),
        [walked(100, FUTEX), walked(101, FUTEX), walked(102, (1 << 64) - 1)],
        [frames, deeper, []],
        MACHINE,
    )
    assert [wait and (wait.kind, wait.owner) for wait in found] == [("join", 101), ("futex", None), None]


_RUST_MUTEX = ("syscall", "<std::sys::sync::mutex::futex::Mutex>::lock_contended")
_RUST_READ = ("syscall", "<std::sys::sync::rwlock::futex::RwLock>::read_contended")
_RUST_WRITE = ("syscall", "std::sys::unix::locks::futex_rwlock::RwLock::write_contended")
_WRITTEN = (1 << 30) - 1


@pytest.mark.parametrize(
    ("functions", "words", "at", "kind", "held", "readers", "writing"),
    [
        (_RUST_MUTEX, (2,), 0, "mutex", True, None, None),
        (_RUST_MUTEX, (0,), 0, "mutex", False, None, None),
        (_RUST_MUTEX, (77,), 0, "mutex", None, None, None),
        (_RUST_READ, (_WRITTEN | 1 << 30, 0), 0, "rwlock", True, None, False),
        (_RUST_WRITE, (3 | 1 << 31, 9), 4, "rwlock", True, 3, True),
        (_RUST_WRITE, (0, 9), 4, "rwlock", False, None, True),
        (("syscall", "std::sys::sync::condvar::futex::Condvar::wait"), (5,), 0, "condvar", None, None, None),
        (("syscall", "std::sys::sync::thread_parking::futex::Parker::park"), (5,), 0, "park", None, None, None),
    ],
)
def test_locks_of_rust(
    functions: tuple[str, ...],
    words: tuple[int, ...],
    at: int,
    kind: str,
    held: bool | None,
    readers: int | None,
    writing: bool | None,
) -> None:
    found = _wait(_space(struct.pack(f"<{len(words)}I", *words).ljust(32, b"\0")), functions, address=LOCK + at)
    assert found is not None
    assert (found.kind, found.address, found.owner) == (kind, LOCK, None)
    assert (found.held, found.readers, found.writing) == (held, readers, writing)


@pytest.mark.parametrize(
    ("operation", "value", "settled"), [(0x80, 7, True), (0x89, 7, True), (0x80, 6, False), (0x86, 7, None)]
)
def test_whether_a_wake_up_was_under_way(operation: int, value: int, settled: bool | None) -> None:
    registers = _registers(operation=operation) | {"rdx": 0xFFFFFFFF00000000 | value}
    found = waits.wait(_space(struct.pack("<I", 7)), registers, (), TIDS, MACHINE)
    assert found is not None
    assert found.settled is settled
    absent = waits.wait(_space(), registers, (), TIDS, MACHINE)
    assert absent is not None
    assert absent.settled is None
