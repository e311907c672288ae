"""Virtual threads: the frames of a continuation that lie in the heap.

Source: HotSpot share/oops/stackChunkOop.hpp, cpu/x86/continuationFreezeThaw_x86.inline.hpp and
java.base jdk/internal/vm/{Continuation,StackChunk,ThreadContainers}.java. A StackChunk object holds a piece of
stack behind its header: words [0, size), frames from `sp` up to `bottom` (or size - argsize), the oldest
highest; below `sp` lie, as under any frame, the return address and the frame pointer. A link to an interpreted
caller is a distance in words from the slot that holds it. Older frames are in the parent chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.hotspot.classes import boot_classes
from postmortem.hotspot.reading import problem
from postmortem.unwind.frame import RawFrame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.hotspot.activation import Activations
    from postmortem.hotspot.codecache import CodeCache
    from postmortem.hotspot.oops import Oops
    from postmortem.hotspot.reading import Reading
    from postmortem.model import Problem

_MAX_CHUNKS = 256
_MAX_FRAMES = 16_384
_MAX_CHUNK_WORDS = 1 << 24
_MAX_LISTED = 1 << 20
_MAX_WALKED = 20_000
_MAX_CHAIN = 4096
_NO_STATES = ("SUSPENDED", "TRACE_PINNING_MODE")
_STATE_BITS = 0xFF
_ROOT = "jdk/internal/vm/ThreadContainers$RootContainer$TrackingRootContainer"


class Unmounted(NamedTuple):
    """Virtual threads with one stack: name and Thread.threadId() of the first, and their number."""

    name: str | None
    tid: int | None
    state: str | None
    frames: tuple[RawFrame, ...]
    number: int


class Continuations:
    """Reads continuations of one VM."""

    def __init__(self, vm: Reading, oops: Oops, cache: CodeCache, activations: Activations) -> None:
        self._vm = vm
        self._oops = oops
        self._cache = cache
        self._activations = activations

    def frozen(self, thread: int | None) -> tuple[RawFrame, ...]:
        """The frames, innermost first, that a java.lang.VirtualThread object has in the heap."""
        chunk = self._oops.oop_field(self._oops.oop_field(thread, "cont"), "tail")
        frames: list[RawFrame] = []
        for _ in range(_MAX_CHUNKS):
            if not chunk or len(frames) >= _MAX_FRAMES:
                break
            frames.extend(self._chunk(chunk))
            chunk = self._oops.oop_field(chunk, "parent")
        return tuple(frames[:_MAX_FRAMES])

    def _chunk(self, chunk: int) -> Iterator[RawFrame]:
        helper = self._oops.layout_helper(self._oops.klass(chunk) or 0)
        size, top = self._int(chunk, "size"), self._int(chunk, "sp")
        arguments, bottom = self._int(chunk, "argsize"), self._int(chunk, "bottom")
        if helper is None or helper <= 0 or size is None or top is None or not 0 <= top <= size <= _MAX_CHUNK_WORDS:
            return
        start = chunk + (helper & ~7)
        end = start + 8 * (bottom if bottom is not None else size - (arguments or 0))
        sp = start + 8 * top
        word = self._vm.memory.word
        for _ in range(_MAX_FRAMES):
            pc = word(sp - 8)
            blob = None if not pc else self._cache.blob_at(pc - 1)
            if sp >= end or not pc or blob is None or blob.kind == "stubs":
                return
            if blob.kind == "interpreter":
                fp = self._linked(sp - 16)
                method = None if fp is None or not start <= fp < end else self._activations.method(fp)
                if fp is None or method is None:
                    return
                virtual = (self._activations.interpreted(method, fp, None),)
                yield RawFrame(pc, sp, fp, "java-interpreted", "hotspot", False, virtual)
                sp = fp + 16
                continue
            if not blob.frame_size:
                return
            if blob.kind in ("nmethod", "native"):
                compiled = self._activations.compiled(blob, pc, sp, False)
                yield RawFrame(
                    pc, sp, None, "java-compiled", "hotspot", False, compiled.virtual,
                    None if compiled.virtual else blob.name, compiled.level, compiled.note,
                )  # fmt: skip
            else:
                yield RawFrame(pc, sp, None, "stub", "hotspot", False, stub=blob.name)
            sp += blob.frame_size

    def _linked(self, slot: int) -> int | None:
        distance = self._vm.memory.signed(slot, 8)
        return None if distance is None or abs(distance) > _MAX_CHUNK_WORDS else slot + 8 * distance

    def _int(self, oop: int, name: str) -> int | None:
        return self._vm.i32(self._oops.place(oop, name))

    def state(self, thread: int) -> str | None:
        """The name of VirtualThread.state's value, from that class' own constants, with the suspend bit off."""
        value = self._int(thread, "state")
        klass = self._oops.klass(thread)
        mirror = self._oops.mirror(klass) if klass else None
        if value is None or klass is None or not mirror:
            return None
        for field in self._oops.declared(klass):
            is_state = field.static and field.signature == "I" and field.name not in _NO_STATES
            if is_state and self._vm.i32(mirror + field.offset) == value & _STATE_BITS:
                return field.name
        return None

    def unmounted(self) -> tuple[list[Unmounted], list[Problem]]:
        """The unmounted virtual threads that the JDK keeps track of, those with equal stacks together."""
        if self._vm.offset("JavaThread._vthread") is None:
            return [], []
        root = boot_classes(self._vm, self._oops, (_ROOT,)).get(_ROOT)
        if root is None:
            return [], []
        threads = self._oops.static_oop(root, "VTHREADS")
        if not threads:
            return [], [problem(_ROOT, "the set of virtual threads can't be read: unmounted ones are not listed")]
        groups: dict[tuple[object, ...], Unmounted] = {}
        walked, total = 0, 0
        for thread in self._members(threads):
            total += 1
            if walked >= _MAX_WALKED:
                continue
            state = self.state(thread)
            frames = self.frozen(thread)
            if not frames:
                continue
            walked += 1
            key = (state, *((frame.pc, frame.virtual) for frame in frames))
            group = groups.get(key)
            if group is None:
                name = self._oops.text(self._oops.oop_field(thread, "name"))
                tid = self._vm.word(self._oops.place(thread, "tid"))
                groups[key] = Unmounted(name, tid, state, frames, 1)
            else:
                groups[key] = group._replace(number=group.number + 1)
        problems = []
        if walked >= _MAX_WALKED:
            problems.append(problem("virtual threads", f"stacks of {walked} of {total} virtual threads were read"))
        return sorted(groups.values(), key=lambda group: -group.number), problems

    def _members(self, threads: int) -> Iterator[int]:
        """Keys of a ConcurrentHashMap.KeySetView."""
        table = self._oops.oop_field(self._oops.oop_field(threads, "map") or threads, "table")
        count = 0
        for bucket in self._oops.elements(table, _MAX_LISTED) if table else ():
            node: int | None = self._oops.oop_field(bucket, "first") or bucket
            for _ in range(_MAX_CHAIN):
                if not node or count >= _MAX_LISTED:
                    break
                thread = self._oops.oop_field(node, "key")
                if thread:
                    count += 1
                    yield thread
                node = self._oops.oop_field(node, "next")
