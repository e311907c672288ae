from __future__ import annotations

from postmortem.runtimes.hotspot.layout.oops import unsigned5
from tests.postmortem.runtimes.hotspot.state.objects import Classes


def _encode(value: int, excluded: int = 1) -> bytes:
    """UNSIGNED5 as the VM writes it."""
    out = []
    rest = value
    for _ in range(4):
        if rest < 192 - excluded:
            break
        rest -= 192 - excluded
        out.append(192 + (rest & 63))
        rest >>= 6
    out.append(rest + excluded)
    return bytes(out)


def test_unsigned5_round_trip() -> None:
    values = [0, 1, 190, 191, 192, 255, 4096, 70_000, 2**24]
    for excluded in (0, 1):
        data = b"".join(_encode(value, excluded) for value in values)
        assert list(unsigned5(data, excluded)) == values


def test_unsigned5_cut_short_ends() -> None:
    assert list(unsigned5(bytes([200]))) == []
    assert list(unsigned5(b"")) == []


def test_class_of_each_header_shape() -> None:
    for shape in ("wide", "narrow", "compact"):
        classes = Classes(shape)
        klass = classes.klass("a/B", 24)
        oop = classes.new(klass, 24)
        oops = classes.oops()
        assert oops.klass(oop) == klass
        assert oops.class_of(oop) == "a.B"


def test_a_compact_header_behind_a_monitor_and_one_that_was_forwarded() -> None:
    classes = Classes("compact")
    klass = classes.klass("a/B", 24)
    oop = classes.new(klass, 24)
    monitor = classes.vm.room(64)
    mark = int.from_bytes(classes.vm.memory.read(oop, 8) or b"", "little")
    classes.vm.put(monitor, "Q", mark)
    classes.vm.put(oop, "Q", monitor | 2)
    assert classes.oops().klass(oop) == klass
    # A compacting collection keeps the class' bits, a copying one leaves the copy's address alone.
    classes.vm.put(oop, "Q", mark | 3)
    assert classes.oops().klass(oop) == klass
    copy = classes.new(klass, 24)
    classes.vm.put(oop, "Q", copy | 3)
    assert classes.oops().klass(oop) == klass
    classes.vm.put(oop, "Q", 0x1000 | 3)
    assert classes.oops().klass(oop) is None


def test_nonsense_is_none() -> None:
    oops = Classes("narrow").oops()
    assert oops.klass(0x1000) is None
    assert oops.klass_name(0x1000) is None
    assert oops.text(0x1000) is None
    assert oops.find_field(0x1000, "x") is None


def test_fields_of_the_vm_s_own_are_named_by_its_symbols() -> None:
    classes = Classes("narrow")
    vm = classes.vm
    vm.instance(InstanceKlass___constants=32, InstanceKlass___fieldinfo_stream=40)
    vm.fields["Array<u1>", "_data"] = vm.fields["Symbol", "_length"]._replace(offset=4)
    vm.sizes["ConstantPool"] = 16
    klass = classes.klass("jdk/internal/vm/StackChunk", 48)
    symbols = [vm.room(64) for _ in range(4)]
    for symbol, text in zip(symbols, ("size", "I", "lockStackSize", "B"), strict=True):
        vm.put(symbol, "IH", 0, len(text))
        vm.put(symbol + 6, f"{len(text)}s", text.encode())
    pool, table = vm.room(64), vm.room(64)
    vm.put(pool + 16 + 8, "QQ", symbols[0], symbols[1])
    vm.put(table + 8, "QQ", symbols[2], symbols[3])
    # One field that Java declares, and one of the VM's: name, signature, offset, access, flags.
    data = b"".join(_encode(value) for value in (1, 1, *(1, 2, 20, 0, 0), *(1, 2, 37, 0, 0)))
    stream = vm.room(64)
    vm.put(stream, f"I{len(data)}s", len(data), data)
    vm.put(klass + 32, "QQ", pool, stream)
    oops = classes.oops()
    assert [(field.name, field.signature, field.offset) for field in oops.declared(klass)] == [("size", "I", 20)]
    assert oops.injected(klass, table) == {"lockStackSize": 37}
    assert oops.injected(klass, None) == {}
