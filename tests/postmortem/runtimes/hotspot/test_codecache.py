"""Blobs found through segment maps, and what an nmethod says of an address."""

from __future__ import annotations

import struct

from postmortem.runtimes.hotspot.code.codecache import CodeCache
from postmortem.runtimes.hotspot.code.nmethod import Nmethods, Scope
from tests.postmortem.runtimes.hotspot.state.vm import FakeVm

SHIFT = 7


class Code:
    """A code heap of 64 segments of 128 bytes, of JDK 17's shape."""

    def __init__(self) -> None:
        self.vm = vm = FakeVm()
        vm.instance(
            CodeHeap___memory=0, CodeHeap___segmap=64, CodeHeap___log2_segment_size=128,
            VirtualSpace___low=0, VirtualSpace___high=8, CodeBlob___name=0, CodeBlob___frame_size=8,
            CodeBlob___frame_complete_offset=12, CodeBlob___code_begin=16, CodeBlob___code_end=24,
        )  # fmt: skip
        vm.fields["HeapBlock::Header", "_used"] = vm.fields["CodeHeap", "_memory"]._replace(offset=8)
        vm.sizes["HeapBlock"] = 16
        self.low = vm.room(64 << SHIFT, 128)
        self.map = vm.room(64)
        heap = vm.room(192)
        vm.put(heap, "QQ", self.low, self.low + (64 << SHIFT))
        vm.put(heap + 64, "Q", self.map)
        vm.put(heap + 128, "i", SHIFT)
        vm.put(self.map, "64s", b"\xff" * 64)
        vm.static("CodeCache._heap", heap)

    def blob(self, segment: int, length: int, name: str, frame_words: int, used: int = 1) -> int:
        """A block of `length` segments; the address of its CodeBlob."""
        for index in range(length):
            # Distances are capped; a long block is found in several hops.
            self.vm.put(self.map + segment + index, "B", min(index, 3))
        block = self.low + (segment << SHIFT)
        self.vm.put(block + 8, "B", used)
        blob = block + 16
        self.vm.put(blob, "Qii", self.vm.text(name), frame_words, 4)
        self.vm.put(blob + 16, "QQ", blob + 64, block + (length << SHIFT))
        return blob

    def cache(self) -> CodeCache:
        return CodeCache(self.vm.reading())


def test_a_blob_is_found_from_each_of_its_segments() -> None:
    code = Code()
    blob = code.blob(2, 30, "nmethod", 6)
    cache = code.cache()
    for offset in (80, 500, (30 << SHIFT) - 20):
        found = cache.blob_at(blob - 16 + offset)
        assert found is not None
        assert (found.address, found.kind, found.frame_size) == (blob, "nmethod", 48)
        assert found.frame_complete == blob + 64 + 4


def test_free_and_unused_memory_holds_no_blob() -> None:
    code = Code()
    dead = code.blob(8, 2, "nmethod", 6, used=0)
    cache = code.cache()
    assert cache.covers(code.low) and not cache.covers(code.low + (64 << SHIFT))
    assert cache.blob_at(code.low) is None
    assert cache.blob_at(dead + 70) is None


def test_a_segment_map_that_leads_out_of_the_heap_ends() -> None:
    code = Code()
    code.vm.put(code.map, "4s", b"\x01\x01\x01\x01")
    assert code.cache().blob_at(code.low + 3 * 128) is None


def test_kinds_by_name_and_frames_without_a_size() -> None:
    code = Code()
    kinds = {
        "native nmethod": "native", "Interpreter": "interpreter", "I2C/C2I adapters": "adapter",
        "vtable chunks": "vtable", "StubRoutines (1)": "stubs", "DeoptimizationBlob": "deoptimization",
        "slow_subtype_check Runtime1 stub": "runtime",
    }  # fmt: skip
    for index, name in enumerate(kinds):
        code.blob(4 * index, 2, name, -1)
    cache = code.cache()
    for index, kind in enumerate(kinds.values()):
        found = cache.blob_at(code.low + (4 * index << SHIFT) + 100)
        assert found is not None
        assert (found.kind, found.frame_size) == (kind, 0)


def scopes_data(records: list[tuple[int, ...]]) -> tuple[bytes, list[int]]:
    """Scope records, each number below 191, and their offsets; offset 0 means none."""
    out, offsets = b"\x01", []
    for record in records:
        offsets.append(len(out))
        out += bytes(value + 1 for value in record)
    return out, offsets


def made(records: list[tuple[int, ...]], pcs: list[tuple[int, int]]) -> tuple[Nmethods, Code, int, int]:
    code = Code()
    vm = code.vm
    vm.static("Abstract_VM_Version._vm_major_version", 25, "I")
    vm.instance(
        nmethod___method=32, nmethod___immutable_data=40, nmethod___immutable_data_size=48,
        nmethod___scopes_pcs_offset=52, nmethod___scopes_data_offset=56, CodeBlob___mutable_data=0x48,
        CodeBlob___mutable_data_size=0x50, CodeBlob___relocation_size=0x54,
    )  # fmt: skip
    blob = code.blob(2, 8, "nmethod", 6)
    data, _ = scopes_data(records)
    descriptors = b"".join(struct.pack("<iiii", pc, scope, 0, 0) for pc, scope in [(-1, 0), *pcs, (10_000, 0)])
    block = vm.room(len(descriptors) + len(data))
    vm.put(block, f"{len(descriptors)}s{len(data)}s", descriptors, data)
    metadata = vm.room(32)
    vm.put(metadata, "QQ", 0x1000, 0x2000)
    vm.put(blob + 32, "QQiii", 0xAAAA, block, len(descriptors) + len(data), 0, len(descriptors))
    vm.put(blob + 0x48, "Qii", metadata, 16, 0)
    return Nmethods(vm.reading()), code, blob, block


def test_the_inlined_chain_of_a_return_address() -> None:
    # Outer method 1 at bci 7; method 2, inlined there, at bci 3.
    _, offsets = scopes_data([(0, 1, 8, 0, 0, 0), (1, 2, 4, 0, 0, 0)])
    nmethods, code, blob, _ = made([(0, 1, 8, 0, 0, 0), (1, 2, 4, 0, 0, 0)], [(16, offsets[1]), (40, offsets[0])])
    found = code.cache().blob_at(blob + 80)
    assert found is not None
    nmethod = nmethods.at(found)
    assert nmethod is not None
    assert nmethods.scopes(nmethod, 16, exact=True) == (Scope(0x2000, 3), Scope(0x1000, 7))
    assert nmethods.scopes(nmethod, 40, exact=True) == (Scope(0x1000, 7),)
    assert nmethods.scopes(nmethod, 20, exact=True) == ()
    assert nmethods.scopes(nmethod, 20, exact=False) == (Scope(0x1000, 7),)


def test_scopes_that_link_to_themselves_end() -> None:
    nmethods, code, blob, _ = made([(1, 1, 8, 0, 0, 0)], [(16, 1)])
    found = code.cache().blob_at(blob + 80)
    assert found is not None
    nmethod = nmethods.at(found)
    assert nmethod is not None
    assert nmethods.scopes(nmethod, 16, exact=True) == (Scope(0x1000, 7),)


def test_a_method_index_beyond_the_metadata_is_no_method() -> None:
    nmethods, code, blob, _ = made([(0, 9, 8, 0, 0, 0)], [(16, 1)])
    found = code.cache().blob_at(blob + 80)
    assert found is not None
    nmethod = nmethods.at(found)
    assert nmethod is not None
    assert nmethods.scopes(nmethod, 16, exact=True) == ()
