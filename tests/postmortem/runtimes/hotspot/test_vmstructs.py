"""The VM's tables, laid out by hand with strides and offsets that no real VM has."""

from __future__ import annotations

import struct

from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.hotspot.layout.vmstructs import read_tables

BASE = 0x5550_0000_0000


class Image:
    """Memory with exported symbols."""

    def __init__(self) -> None:
        self.content = bytearray(1 << 16)
        self.top = 64
        self.symbols: dict[str, int] = {}

    def add(self, data: bytes) -> int:
        self.top = self.top + 7 & ~7
        address = BASE + self.top
        self.content[self.top : self.top + len(data)] = data
        self.top += len(data)
        return address

    def text(self, text: str | None) -> int:
        return 0 if text is None else self.add(text.encode() + b"\0")

    def export(self, name: str, value: int) -> None:
        self.symbols[name] = self.add(struct.pack("<Q", value))

    def space(self) -> AddressSpace:
        return AddressSpace([Piece(BASE, BASE + len(self.content), bytes(self.content), 0)])


def made() -> Image:
    image = Image()
    stride = 56
    members = {"TypeName": 8, "FieldName": 0, "TypeString": 24, "IsStatic": 20, "Offset": 32, "Address": 40}
    rows = b""
    for kind, name, text, static, offset, address in (
        ("Klass", "_name", "Symbol*", 0, 24, 0),
        ("Universe", "_collectedHeap", None, 1, 0, 0x7F00_1234),
    ):
        row = bytearray(stride)
        struct.pack_into("<Q", row, 8, image.text(kind))
        struct.pack_into("<Q", row, 0, image.text(name))
        struct.pack_into("<Q", row, 24, image.text(text))
        struct.pack_into("<i", row, 20, static)
        struct.pack_into("<QQ", row, 32, offset, address)
        rows += row
    image.export("gHotSpotVMStructs", image.add(rows + bytes(stride)))
    image.export("gHotSpotVMStructEntryArrayStride", stride)
    for member, offset in members.items():
        image.export(f"gHotSpotVMStructEntry{member}Offset", offset)
    types = struct.pack("<QQQ", image.text("InstanceKlass"), image.text("Klass"), 472) + bytes(24)
    image.export("gHotSpotVMTypes", image.add(types))
    image.export("gHotSpotVMTypeEntryArrayStride", 24)
    for member, offset in {"TypeName": 0, "SuperclassName": 8, "Size": 16}.items():
        image.export(f"gHotSpotVMTypeEntry{member}Offset", offset)
    for kind, value in (("Int", -7), ("Long", 1 << 40)):
        entry = struct.pack("<Qq", image.text(f"{kind}::constant"), value) + bytes(16)
        image.export(f"gHotSpotVM{kind}Constants", image.add(entry))
        image.export(f"gHotSpotVM{kind}ConstantEntryArrayStride", 16)
        image.export(f"gHotSpotVM{kind}ConstantEntryNameOffset", 0)
        image.export(f"gHotSpotVM{kind}ConstantEntryValueOffset", 8)
    return image


def test_offsets_and_strides_come_from_the_vm() -> None:
    image = made()
    tables = read_tables(image.space(), image.symbols.get)
    assert tables is not None
    assert tables.field("Klass", "_name") == ("Symbol*", False, 24, 0)
    assert tables.field("Universe", "_collectedHeap") == (None, True, 0, 0x7F00_1234)
    assert tables.field("Universe", "_name") is None
    assert (tables.size("InstanceKlass"), tables.superclass("InstanceKlass")) == (472, "Klass")
    assert tables.constant("Int::constant") == -7
    assert tables.constant("Long::constant") == 1 << 40
    assert [name for name, _ in tables.fields("Klass")] == ["_name"]


def test_without_symbols_there_are_no_tables() -> None:
    assert read_tables(made().space(), lambda _: None) is None


def test_a_name_that_is_not_in_memory_costs_its_entry_alone() -> None:
    image = made()
    start = struct.unpack_from("<Q", image.content, image.symbols["gHotSpotVMStructs"] - BASE)[0] - BASE
    struct.pack_into("<Q", image.content, start, 0x1234_0000)
    tables = read_tables(image.space(), image.symbols.get)
    assert tables is not None
    assert tables.field("Klass", "_name") is None
    assert tables.field("Universe", "_collectedHeap") is not None


def test_a_table_without_an_end_stops_with_the_memory() -> None:
    image = made()
    start = struct.unpack_from("<Q", image.content, image.symbols["gHotSpotVMStructs"] - BASE)[0] - BASE
    row = bytes(image.content[start : start + 56])
    endless = Piece(BASE + (1 << 20), BASE + (1 << 20) + 56 * 100_000, row * 100_000, 0)
    struct.pack_into("<Q", image.content, image.symbols["gHotSpotVMStructs"] - BASE, endless.start)
    whole = Piece(BASE, BASE + len(image.content), bytes(image.content), 0)
    tables = read_tables(AddressSpace([whole, endless]), image.symbols.get)
    assert tables is not None
    assert tables.field("Klass", "_name") is not None


def test_a_stride_smaller_than_an_entry_is_refused() -> None:
    image = made()
    image.export("gHotSpotVMStructEntryArrayStride", 8)
    assert read_tables(image.space(), image.symbols.get) is None
