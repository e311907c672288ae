"""Virtual threads without a carrier: listed, grouped, waiting, and their stacks in the heap, in a made-up VM."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from postmortem.runtimes.hotspot.layout.oops import Oops
from postmortem.runtimes.hotspot.stack.continuation import Continuations
from postmortem.runtimes.hotspot.threads import virtualthreads
from postmortem.runtimes.hotspot.threads.virtualthreads import VirtualThreads
from postmortem.unwind.frame import RawFrame
from tests.postmortem.runtimes.hotspot.state.vm import FakeVm

if TYPE_CHECKING:
    import pytest

    from postmortem.runtimes.hotspot.code.codecache import Blob

FULL_WIDTH = {"UseCompressedOops": "false", "UseCompressedClassPointers": "false"}


def frames(*pcs: int) -> tuple[RawFrame, ...]:
    return tuple(RawFrame(pc, 0, None, "java-compiled", "hotspot", False) for pc in pcs)


def threads(vm: FakeVm, stacks: dict[int, tuple[RawFrame, ...]], state: str = "PARKED") -> VirtualThreads:
    """As if the JDK's set had these objects."""
    reading = vm.reading()
    made = VirtualThreads(reading, Oops(reading, FULL_WIDTH), cast("Any", SimpleNamespace(alike=stacks.get)), set())
    made.__dict__["all"] = [(thread, state) for thread in stacks]
    return made


def test_equal_stacks_are_one_group() -> None:
    first, same, other = frames(1, 2), frames(1, 2), frames(1, 3)
    found = threads(FakeVm(), {16: first, 32: first, 48: same, 64: other, 80: ()}).unmounted(lambda _: None)
    assert [(group.frames, group.number) for group in found] == [(first, 3), (other, 1)]


def test_the_limit_is_told_only_when_threads_were_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtualthreads, "_MAX_WALKED", 3)
    stack = frames(1)
    whole = threads(FakeVm(), dict.fromkeys((16, 32, 48), stack))
    assert [group.number for group in whole.unmounted(lambda _: None)] == [3] and not whole.problems
    cut = threads(FakeVm(), dict.fromkeys((16, 32, 48, 64), stack))
    assert [group.number for group in cut.unmounted(lambda _: None)] == [3]
    assert [problem.what for problem in cut.problems] == ["stacks of 3 of 4 virtual threads were read"]


def test_who_waits_for_different_holders_is_listed_apart() -> None:
    stack = frames(1)
    waits = {
        16: ("Lock@0x1", "a", False),
        32: ("Lock@0x1", "a", False),
        48: ("Lock@0x2", "b", True),
        64: ("Latch@0x3", None, False),
        80: ("Latch@0x4", None, False),
    }
    found = threads(FakeVm(), dict.fromkeys(waits, stack)).unmounted(waits.__getitem__)
    assert {(group.blocked_on, group.blocked_by, group.owner_ended, group.number) for group in found} == {
        ("Lock@0x1", "a", False, 2), ("Lock@0x2", "b", True, 1), (None, None, False, 2),
    }  # fmt: skip


def test_states_of_those_without_a_carrier_are_counted() -> None:
    assert threads(FakeVm(), dict.fromkeys((16, 32), ()), "STARTED").states() == {"STARTED": 2}


def test_the_monitor_is_that_of_the_waiter_that_refers_back() -> None:
    vm = FakeVm()
    vm.instance(Klass___layout_helper=8, ObjectMonitor___object=8)
    klass, thread, waiter, stranger, handle = (vm.room(64) for _ in range(5))
    vm.put(klass + 8, "i", 64)
    vm.put(thread, "QQQQQ", 1, klass, 0, stranger, waiter)
    vm.put(stranger, "QQQQQ", 0, 0, 0, vm.room(8), 0x1000)
    vm.put(waiter, "QQQQQ", 0, 0, 0, handle, 0x2000)
    vm.put(handle, "Q", thread)
    (wanting,) = threads(vm, {thread: ()}, "BLOCKED").waiting
    assert (wanting.address, wanting.tid, wanting.state, wanting.pending, wanting.waiting) == (
        thread, None, "BLOCKED", 0x2000, None,
    )  # fmt: skip
    (waiting,) = threads(vm, {thread: ()}, "TIMED_WAIT").waiting
    assert (waiting.state, waiting.pending, waiting.waiting) == ("TIMED_WAITING", None, 0x2000)
    # A platform thread's waiter is not this thread's.
    vm.put(waiter + 16, "Q", 0x3000)
    assert threads(vm, {thread: ()}, "BLOCKED").waiting == []


HEADER, SIZE, TOP = 32, 32, 8
METHOD_SLOT, BCP_SLOT = -3, -8


class Chunks:
    """StackChunk objects, each the tail of a thread of the same address plus one."""

    def __init__(self) -> None:
        self.vm = FakeVm()
        self.decoded = 0

    def chunk(self, *words: tuple[int, int], locks: tuple[int, ...] = ()) -> int:
        """The thread whose stack has these words, by index from the first frame's stack pointer."""
        vm = self.vm
        chunk = vm.room(HEADER + 8 * SIZE)
        vm.put(chunk + 16, "IIIB", SIZE, TOP, SIZE, len(locks))
        for index, word in (*((TOP + at, word) for at, word in words), *enumerate(locks)):
            vm.put(chunk + HEADER + 8 * index, "q", word)
        return chunk + 1

    def continuations(self) -> Continuations:
        fields = {"size": 16, "sp": 20, "bottom": 24}
        links = {"cont": lambda oop: oop, "tail": lambda oop: oop - 1, "parent": lambda _: 0}
        oops = SimpleNamespace(
            klass=lambda _: 1,
            layout_helper=lambda _: HEADER,
            find_field=lambda _, name: SimpleNamespace(offset=fields[name]) if name in fields else None,
            oop_field=lambda oop, name: links[name](oop),
            injected=lambda _, symbols: {"lockStackSize": 28} if symbols else {},
            narrow=False,
            decode=lambda raw: raw >> 1,
        )
        symbols = {"_ZN6Symbol11_vm_symbolsE": 1}
        me = cast("Any", self)
        return Continuations(self.vm.reading(), cast("Any", oops), me, me, symbols.get)

    # What is asked of the code cache and of activations: 0x1… is compiled, a frame of four words; 0x2… interpreted.
    deciding = (METHOD_SLOT, BCP_SLOT)

    def blob_at(self, pc: int) -> Blob | None:
        self.decoded += 1
        kind = {1: "nmethod", 2: "interpreter"}.get(pc >> 12)
        return None if kind is None else cast("Any", SimpleNamespace(kind=kind, frame_size=32, name=kind))

    def compiled(self, blob: Blob, pc: int, sp: int, interrupted: bool) -> Any:
        return SimpleNamespace(virtual=(f"compiled {pc:#x}",), level=4, note=None, patched=pc == 0x1FFF)

    def method(self, fp: int) -> int | None:
        return self.vm.reading().word(fp + 8 * METHOD_SLOT)

    def interpreted(self, method: int, fp: int, live: int | None) -> str:
        return f"interpreted {method} at {self.vm.reading().word(fp + 8 * BCP_SLOT)}"


COMPILED = ((-1, 0x1001), (3, 0x2001), (2, 10), (12 + METHOD_SLOT, 77), (12 + BCP_SLOT, 5), (13, 0x9000))
"""A compiled frame, and an interpreted one whose frame pointer is at word 12; then nothing that is known."""


def shown(found: tuple[RawFrame, ...]) -> list[Any]:
    return [frame.virtual[0] for frame in found]


def test_a_stack_with_the_same_deciding_words_is_decoded_once() -> None:
    chunks = Chunks()
    first = chunks.chunk(*COMPILED, (0, 1111))
    # Its locals differ.
    same = chunks.chunk(*COMPILED, (0, 2222), (6, 3333))
    continuations = chunks.continuations()
    known = continuations.alike(first)
    assert shown(known) == ["compiled 0x1001", "interpreted 77 at 5"]
    before = chunks.decoded
    assert continuations.alike(same) is known and chunks.decoded == before
    assert shown(continuations.frozen(same)) == shown(known)


def test_a_stack_that_differs_where_it_counts_is_another() -> None:
    chunks = Chunks()
    first = chunks.chunk(*COMPILED)
    others = {
        "compiled 0x1003": chunks.chunk(*COMPILED, (-1, 0x1003)),
        "interpreted 78 at 5": chunks.chunk(*COMPILED, (12 + METHOD_SLOT, 78)),
        "interpreted 77 at 6": chunks.chunk(*COMPILED, (12 + BCP_SLOT, 6)),
    }
    continuations = chunks.continuations()
    continuations.alike(first)
    for what, thread in others.items():
        assert what in shown(continuations.alike(thread))


def test_a_stack_that_other_words_decide_is_always_decoded() -> None:
    chunks = Chunks()
    first, second = (chunks.chunk((-1, 0x1FFF), (3, 0x1001)) for _ in range(2))
    continuations = chunks.continuations()
    assert continuations.alike(first) is not continuations.alike(second)


def test_the_lock_stack_is_as_long_as_the_vm_says() -> None:
    chunks = Chunks()
    thread = chunks.chunk((-1, 0x1001), locks=(0x70, 0x90))
    chunks.vm.put(thread - 1 + HEADER + 16, "Q", 0xB0)
    assert set(chunks.continuations().locked(thread)) == {0x70, 0x38, 0x90, 0x48}
    assert chunks.continuations().locked(chunks.chunk((-1, 0x1001))) == ()
