"""Virtual threads: the frames of a continuation that lie in the heap.

Source: HotSpot share/oops/stackChunkOop.hpp, cpu/x86/continuationFreezeThaw_x86.inline.hpp and
java.base jdk/internal/vm/{Continuation,StackChunk}.java. A StackChunk object holds a piece of stack behind its
header: words [0, size), frames from `sp` up to `bottom` (or size - argsize), the oldest highest; below `sp` lie, as
under any frame, the return address and the frame pointer. A link to an interpreted caller is a distance in words
from the slot that holds it. Older frames are in the parent chunk. Words from 0 on are the lock stack, as many
as the VM's own field lockStackSize says (JDK 24 and newer).
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from parsers.limits import LIMITS
from postmortem.unwind.frame import RawFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postmortem.runtimes.hotspot.code.activation import Activations
    from postmortem.runtimes.hotspot.code.codecache import CodeCache
    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading

_MAX_CHUNKS = LIMITS.continuation_chunks
_MAX_FRAMES = LIMITS.continuation_frames
_MAX_CHUNK_WORDS = LIMITS.continuation_chunk_words
_MAX_LOCKS = LIMITS.continuation_locks
_MAX_SHAPES = LIMITS.continuation_shapes
_VM_SYMBOLS = "_ZN6Symbol11_vm_symbolsE"


class _Piece(NamedTuple):
    """The stack in a chunk: [start + 8 * top, end)."""

    start: int
    top: int
    end: int


class _Shape(NamedTuple):
    """Which words of a stack decide its frames, and the frames by these words."""

    indices: tuple[int, ...]
    pick: Callable[[tuple[int, ...]], Any]
    known: dict[Any, tuple[RawFrame, ...]]


class Continuations:
    """Reads continuations of one VM."""

    def __init__(
        self,
        vm: Reading,
        oops: Oops,
        cache: CodeCache,
        activations: Activations,
        symbol: Callable[[str], int | None],
    ) -> None:
        self._vm = vm
        self._oops = oops
        self._cache = cache
        self._activations = activations
        self._symbol = symbol
        self._layouts: dict[int, tuple[int | None, ...]] = {}
        self._shapes: dict[tuple[int, int], list[_Shape]] = {}
        self._lock_count: int | None = None

    def frozen(self, thread: int | None) -> tuple[RawFrame, ...]:
        """The frames, innermost first, that a java.lang.VirtualThread object has in the heap."""
        chunk = self._oops.oop_field(self._oops.oop_field(thread, "cont"), "tail")
        frames: list[RawFrame] = []
        for _ in range(_MAX_CHUNKS):
            if not chunk or len(frames) >= _MAX_FRAMES:
                break
            frames.extend(self._chunk(chunk, []))
            chunk = self._oops.oop_field(chunk, "parent")
        return tuple(frames[:_MAX_FRAMES])

    def alike(self, thread: int | None) -> tuple[RawFrame, ...]:
        """As frozen(), but of threads whose stacks are equal in the words that decide, one's frames stand for all:
        the very same tuple, whose stack pointers are that one's."""
        chunk = self._oops.oop_field(self._oops.oop_field(thread, "cont"), "tail")
        piece = self._piece(chunk) if chunk else None
        if not chunk or piece is None or self._oops.oop_field(chunk, "parent"):
            return self.frozen(thread)
        first = piece.start + 8 * piece.top - 16
        words = self._vm.memory.words(first, (piece.end - first) // 8)
        if words is None:
            return self.frozen(thread)
        shapes = self._shapes.setdefault((piece.top, len(words)), [])
        for shape in shapes:
            frames = shape.known.get(shape.pick(words))
            if frames is not None:
                return frames
        slots: list[int] = []
        frames = tuple(self._chunk(chunk, slots))
        indices = tuple((slot - first) // 8 for slot in slots)
        if len(indices) > 1 and -1 not in slots and all(0 <= index < len(words) for index in indices):
            fitting = [shape for shape in shapes if shape.indices == indices]
            if not fitting and len(shapes) < _MAX_SHAPES:
                fitting = [_Shape(indices, itemgetter(*indices), {})]
                shapes += fitting
            for shape in fitting:
                shape.known[shape.pick(words)] = frames
        return frames

    def locked(self, thread: int) -> tuple[int, ...]:
        """The objects on the lock stack that a java.lang.VirtualThread object has in the heap, as they may be stored:
        each once as a whole word, once as a compressed reference, once without colours."""
        chunk = self._oops.oop_field(self._oops.oop_field(thread, "cont"), "tail")
        piece = self._piece(chunk) if chunk else None
        if not chunk or piece is None:
            return ()
        if self._lock_count is None:
            injected = self._oops.injected(self._oops.klass(chunk) or 0, self._symbol(_VM_SYMBOLS))
            self._lock_count = injected.get("lockStackSize", 0)
        count = self._vm.byte(chunk + self._lock_count) if self._lock_count else None
        if not count or count > min(_MAX_LOCKS, piece.top):
            return ()
        found: list[int] = []
        for raw in self._vm.memory.words(piece.start, count) or ():
            found += (raw, self._oops.decode(raw & 0xFFFFFFFF) if self._oops.narrow else self._oops.decode(raw))
        return tuple(found)

    def _piece(self, chunk: int) -> _Piece | None:
        klass = self._oops.klass(chunk) or 0
        if klass not in self._layouts:
            fields = (self._oops.find_field(klass, name) for name in ("size", "sp", "bottom", "argsize"))
            self._layouts[klass] = (self._oops.layout_helper(klass) or 0, *(f.offset if f else None for f in fields))
        helper, *offsets = self._layouts[klass]
        size, top, bottom, arguments = (None if at is None else self._vm.i32(chunk + at) for at in offsets)
        if not helper or helper < 0 or size is None or top is None or not 0 <= top <= size <= _MAX_CHUNK_WORDS:
            return None
        start = chunk + (helper & ~7)
        return _Piece(start, top, start + 8 * (size - (arguments or 0) if bottom is None else bottom))

    def _chunk(self, chunk: int, slots: list[int]) -> Iterator[RawFrame]:
        """The frames of one chunk. slots: takes the addresses of the words that decide them, or -1 when others do."""
        piece = self._piece(chunk)
        if piece is None:
            return
        start, end = piece.start, piece.end
        sp = start + 8 * piece.top
        word = self._vm.memory.word
        for _ in range(_MAX_FRAMES):
            slots.append(sp - 8)
            pc = word(sp - 8)
            blob = None if not pc else self._cache.blob_at(pc - 1)
            if sp >= end or not pc or blob is None or blob.kind == "stubs":
                return
            if blob.kind == "interpreter":
                slots.append(sp - 16)
                fp = self._linked(sp - 16)
                method = None if fp is None or not start <= fp < end else self._activations.method(fp)
                if fp is None or method is None:
                    slots.append(-1)
                    return
                slots += (fp + 8 * slot for slot in self._activations.deciding)
                virtual = (self._activations.interpreted(method, fp, None),)
                yield RawFrame(pc, sp, fp, "java-interpreted", "hotspot", False, virtual)
                sp = fp + 16
                continue
            if not blob.frame_size:
                return
            if blob.kind in ("nmethod", "native"):
                compiled = self._activations.compiled(blob, pc, sp, False)
                if compiled.patched:
                    slots.append(-1)
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
